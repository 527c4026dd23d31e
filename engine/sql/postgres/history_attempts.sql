-- One intent's failed attempts.
select step, generation::bigint, attempt::bigint, failure, error, started_at, finished_at, retry_at, worker
  from intendant.attempt where intent_id = $1::uuid order by finished_at, step, attempt
