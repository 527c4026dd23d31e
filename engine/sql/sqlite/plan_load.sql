-- Claim: shapes that the worker does not know yet.
select hash, shape from intendant_plan where hash in (select n.value from jsonb_each(?1) n)
