-- History: one intent's failed attempts after one of them, in the order of the primary key. 1 intent, 2 step, 3 generation,
-- 4 attempt, 5 how many.
select step, generation::bigint, attempt::bigint, failure, error, started_at, finished_at, retry_at, worker
  from intendant.attempt
 where intent_id = $1::uuid and (step, generation, attempt) > ($2::text, $3::bigint, $4::bigint)
 order by step, generation, attempt limit $5::bigint
