-- Logs: what one intent's attempts have logged, after one of them, in the order of the primary key. 1 intent, 2 step,
-- 3 generation, 4 attempt, 5 how many.
select step, generation::bigint, attempt::bigint, lines, cut_lines, cut_bytes, at, worker
  from intendant.log
 where intent_id = $1::uuid and (step, generation, attempt) > ($2::text, $3::bigint, $4::bigint)
 order by step, generation, attempt limit $5::bigint
