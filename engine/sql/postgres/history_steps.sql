-- One intent's steps, as they have something to say; those that have not started since the last resume come last.
select name, generation::bigint, state, attempt::bigint, output, error, progress, due_at, started_at, finished_at, worker, queue
  from intendant.step where intent_id = $1::uuid order by started_at nulls last, name, generation
