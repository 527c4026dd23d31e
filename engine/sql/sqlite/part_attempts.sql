-- History: one intent's failed attempts after one of them, in the order of the primary key. 1 intent, 2 step, 3 generation,
-- 4 attempt, 5 how many.
select step, generation, attempt, failure, error, started_at, finished_at, retry_at, worker
  from intendant_attempt
 where intent_id = ?1 and (step, generation, attempt) > (?2, ?3, ?4)
 order by step, generation, attempt limit ?5
