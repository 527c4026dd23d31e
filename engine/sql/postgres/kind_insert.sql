-- Session: what the code of its kinds says of them, for requests by name and for people. Primary key, in the order of the
-- kinds. 1–7 kind, queue, whether a failed intent lets go of its resources, conflict rules, description, schema of the input,
-- deadline in microseconds.
insert into intendant.kind as k (kind, queue, release_on_failure, conflicts, description, input_schema, deadline_us)
select n.kind, n.queue, n.release, n.conflicts::json, n.description, n.input_schema::json, n.deadline_us
  from unnest($1::text[], $2::text[], $3::boolean[], $4::text[], $5::text[], $6::text[], $7::bigint[])
    as n (kind, queue, release, conflicts, description, input_schema, deadline_us)
 order by n.kind
on conflict (kind) do update
   set queue = excluded.queue, release_on_failure = excluded.release_on_failure, conflicts = excluded.conflicts,
       description = excluded.description, input_schema = excluded.input_schema, deadline_us = excluded.deadline_us
 where (k.queue, k.release_on_failure, k.conflicts::text, k.description, k.input_schema::text, k.deadline_us)
       is distinct from (excluded.queue, excluded.release_on_failure, excluded.conflicts::text, excluded.description,
                         excluded.input_schema::text, excluded.deadline_us)
