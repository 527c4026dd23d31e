-- Measurements: what one intent's attempts have measured, after one of them, in the order of the primary key. 1 intent,
-- 2 step, 3 generation, 4 attempt, 5 name, 6 how many.
select step, generation::bigint, attempt::bigint, name, value, at
  from intendant.measure
 where intent_id = $1::uuid
   and (step, generation, attempt, name) > ($2::text, $3::bigint, $4::bigint, $5::text)
 order by step, generation, attempt, name limit $6::bigint
