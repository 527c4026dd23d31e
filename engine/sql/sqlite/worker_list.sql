-- Workers: the sessions, with how many milliseconds they have been silent; a walk through a small table. 1 how many, 2 now.
select id, worker, host, pid, build, started_at, lease_ms, (?2 - max(beat_at, 0)) / 1000, free, leaving
  from intendant_session order by worker, id limit ?1
