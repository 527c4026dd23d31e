-- Measurements: what one intent's attempts have measured, after one of them, in the order of the primary key. 1 intent,
-- 2 step, 3 generation, 4 attempt, 5 name, 6 how many.
select step, generation, attempt, name, value, at
  from intendant_measure
 where intent_id = ?1
   and (step, generation, attempt, name) > (?2, ?3, ?4, ?5)
 order by step, generation, attempt, name limit ?6
