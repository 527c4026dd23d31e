-- Undo of what succeeded: the steps of the one that takes it back are those of the other, with all that they came to.
-- Primary key. 1 the other, 2 the one that takes it back.
insert into intendant.step (intent_id, name, generation, state, attempt, forgiven, output, error, started_at, finished_at, worker,
                            queue, reason, begun_at)
select $2::uuid, name, generation, state, attempt, forgiven, output, error, started_at, finished_at, worker, queue, reason, begun_at
  from intendant.step where intent_id = $1::uuid
