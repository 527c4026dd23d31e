-- History: one intent's steps without their outputs, for those who look often whether anything has changed. Primary key.
select name, generation::bigint, state, attempt::bigint, null::json, error, progress, due_at, started_at, finished_at, worker, queue
  from intendant.step where intent_id = $1::uuid order by started_at nulls last, name, generation
