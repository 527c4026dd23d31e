-- Why: the steps of one intent that run or wait with it, what is due first in front. Primary key. 1 intent, 2 limit.
select name, state, attempt, error, due_at, started_at, worker, progress
  from intendant_step where intent_id = ?1 and state in ('running', 'waiting') and queue is null and waits is null
 order by due_at nulls last, name, generation limit ?2
