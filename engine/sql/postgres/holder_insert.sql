-- Admit: takes resources; a unique index stands behind the exclusive ones (I4). A resumed intent may hold them already.
-- 1–3 resource, intent, mode.
insert into intendant.holder (resource, intent_id, mode)
select * from unnest($1::text[], $2::uuid[], $3::text[])
on conflict (resource, intent_id) do nothing
