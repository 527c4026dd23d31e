-- Why: the steps of one intent that run or wait with it, what is due first in front. Primary key. 1 intent, 2 limit.
select name, state, attempt::bigint, error, due_at, started_at, worker, progress
  from intendant.step where intent_id = $1::uuid and state in ('running', 'waiting') and queue is null and waits is null
 order by due_at nulls last, name, generation limit $2::bigint
