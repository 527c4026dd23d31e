-- One intent's steps, as they have something to say.
select name, generation, state, attempt, output, error, progress, due_at, started_at, finished_at, worker
  from intendant_step where intent_id = ?1 order by started_at, name, generation
