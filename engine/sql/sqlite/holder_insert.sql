-- Admit: takes resources; a unique index stands behind the exclusive ones (I4). A resumed intent may hold them already.
-- 1 resource, intent, mode, whether side by side with others that would exclude it,
-- and whether an ancestor holds it for itself and its family.
insert into intendant_holder (resource, intent_id, mode, beside, covered)
select n.value ->> 0, n.value ->> 1, n.value ->> 2, n.value ->> 3, n.value ->> 4 from jsonb_each(?1) n where true
on conflict (resource, intent_id) do nothing
