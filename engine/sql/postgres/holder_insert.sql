-- Admit: takes resources; a unique index stands behind the exclusive ones (I4). A resumed intent may hold them already.
-- 1–5 resource, intent, mode, whether side by side with others that would exclude it,
-- and whether an ancestor holds it for itself and its family.
insert into intendant.holder (resource, intent_id, mode, beside, covered)
select * from unnest($1::text[], $2::uuid[], $3::text[], $4::boolean[], $5::boolean[])
on conflict (resource, intent_id) do nothing
