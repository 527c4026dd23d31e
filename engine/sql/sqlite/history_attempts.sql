-- One intent's failed attempts.
select step, generation, attempt, failure, error, started_at, finished_at, retry_at, worker
  from intendant_attempt where intent_id = ?1 order by finished_at, step, attempt
