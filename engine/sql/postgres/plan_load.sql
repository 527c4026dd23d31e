-- Claim: shapes that the worker does not know yet.
select hash, shape from intendant.plan where hash = any ($1::text[])
