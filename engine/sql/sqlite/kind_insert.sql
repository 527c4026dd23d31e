-- Session: what the code of its kinds says of them, for requests by name and for people.
-- 1 kind, queue, whether a failed intent lets go of its resources, conflict rules, description, schema of the input, deadline
-- in microseconds.
insert into intendant_kind as k (kind, queue, release_on_failure, conflicts, description, input_schema, deadline_us)
select n.value ->> 0, n.value ->> 1, n.value ->> 2, n.value ->> 3, n.value ->> 4, n.value ->> 5, n.value ->> 6
  from jsonb_each(?1) n where true
on conflict (kind) do update
   set queue = excluded.queue, release_on_failure = excluded.release_on_failure, conflicts = excluded.conflicts,
       description = excluded.description, input_schema = excluded.input_schema, deadline_us = excluded.deadline_us
 where (k.queue, k.release_on_failure, k.conflicts, k.description, k.input_schema, k.deadline_us)
       is not (excluded.queue, excluded.release_on_failure, excluded.conflicts, excluded.description,
               excluded.input_schema, excluded.deadline_us)
