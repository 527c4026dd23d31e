-- Admit: takes resources; a unique index stands behind the exclusive ones (I4). A resumed intent may hold them already.
-- 1–4 resource, intent, mode, whether side by side with others that would exclude it.
insert into intendant.holder (resource, intent_id, mode, beside)
select * from unnest($1::text[], $2::uuid[], $3::text[], $4::boolean[])
on conflict (resource, intent_id) do nothing
