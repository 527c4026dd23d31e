-- History: one intent's steps after one of them, as they have something to say, in the order of the primary key. 1 intent,
-- 2 name, 3 generation, 4 how many.
select name, generation, state, attempt, output, error, progress, due_at, started_at, finished_at, worker, queue
  from intendant_step
 where intent_id = ?1 and (name, generation) > (?2, ?3)
 order by name, generation limit ?4
