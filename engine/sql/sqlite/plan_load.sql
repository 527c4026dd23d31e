-- Claim: shapes that the worker does not know yet.
select hash, shape from intendant_plan where hash in (select n.value ->> 0 from json_each(?1) n)
