-- Tick: which child a step asked for under which name.
-- 1–7 parent, step, generation, name, child, hash of its input, the failed child in whose place it is asked for.
insert into intendant.child (parent_id, step, generation, name, child_id, input_hash, instead_of)
select * from unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::uuid[], $6::bytea[], $7::uuid[])
