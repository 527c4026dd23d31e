-- Session: what the code of its kinds says of them, for requests from plain SQL and for people.
-- 1 kind, queue, whether a failed intent lets go of its resources, conflict rules.
insert into intendant_kind as k (kind, queue, release_on_failure, conflicts)
select n.value ->> 0, n.value ->> 1, n.value ->> 2, n.value ->> 3 from jsonb_each(?1) n where true
on conflict (kind) do update
   set queue = excluded.queue, release_on_failure = excluded.release_on_failure, conflicts = excluded.conflicts
 where (k.queue, k.release_on_failure, k.conflicts)
       is not (excluded.queue, excluded.release_on_failure, excluded.conflicts)
