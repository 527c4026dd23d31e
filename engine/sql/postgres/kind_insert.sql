-- Session: what the code of its kinds says of them, for requests from plain SQL and for people. Primary key, in the order of
-- the kinds. 1–4 kind, queue, whether a failed intent lets go of its resources, conflict rules.
insert into intendant.kind as k (kind, queue, release_on_failure, conflicts)
select n.kind, n.queue, n.release, n.conflicts::json
  from unnest($1::text[], $2::text[], $3::boolean[], $4::text[]) as n (kind, queue, release, conflicts)
 order by n.kind
on conflict (kind) do update
   set queue = excluded.queue, release_on_failure = excluded.release_on_failure, conflicts = excluded.conflicts
 where (k.queue, k.release_on_failure, k.conflicts::text)
       is distinct from (excluded.queue, excluded.release_on_failure, excluded.conflicts::text)
