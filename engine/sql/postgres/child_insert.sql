-- Tick: which child a step asked for under which name.
-- 1–6 parent, step, generation, name, child, hash of its input.
insert into intendant.child (parent_id, step, generation, name, child_id, input_hash)
select * from unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::uuid[], $6::bytea[])
