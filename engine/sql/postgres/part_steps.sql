-- History: one intent's steps after one of them, as they have something to say, in the order of the primary key. 1 intent,
-- 2 name, 3 generation, 4 how many.
select name, generation::bigint, state, attempt::bigint, output, error, progress, due_at, started_at, finished_at, worker, queue
  from intendant.step
 where intent_id = $1::uuid and (name, generation) > ($2::text, $3::bigint)
 order by name, generation limit $4::bigint
