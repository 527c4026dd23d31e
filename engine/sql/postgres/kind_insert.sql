-- Session: what the code of its kinds says of them, for requests from plain SQL. Primary key, in the order of the kinds.
-- 1–3 kind, queue, whether a failed intent lets go of its resources.
insert into intendant.kind as k (kind, queue, release_on_failure)
select n.kind, n.queue, n.release
  from unnest($1::text[], $2::text[], $3::boolean[]) as n (kind, queue, release)
 order by n.kind
on conflict (kind) do update set queue = excluded.queue, release_on_failure = excluded.release_on_failure
 where (k.queue, k.release_on_failure) is distinct from (excluded.queue, excluded.release_on_failure)
