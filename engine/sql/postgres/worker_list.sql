-- Workers: the sessions, with how many milliseconds they have been silent; a walk through a small table. 1 how many.
select id, worker, host, pid, build, started_at, lease_ms,
       (extract(epoch from clock_timestamp() - beat_at) * 1000)::bigint, free, leaving
  from intendant.session order by worker, id limit $1::bigint
