-- One intent's steps, as they have something to say.
select name, generation::bigint, state, attempt::bigint, output, error, progress, due_at, started_at, finished_at, worker
  from intendant.step where intent_id = $1::uuid order by started_at, name, generation
