-- Tick: which child a step asked for under which name.
-- 1 parent, step, generation, name, child, hash of its input, the failed child in whose place it is asked for.
insert into intendant_child (parent_id, step, generation, name, child_id, input_hash, instead_of)
select n.value ->> 0, n.value ->> 1, n.value ->> 2, n.value ->> 3, n.value ->> 4, unhex(n.value ->> 5), n.value ->> 6
  from jsonb_each(?1) n
