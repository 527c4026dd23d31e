-- History: one intent's children after one of them, in the order of the primary key. 1 intent, 2 step, 3 generation, 4 name,
-- 5 how many.
select c.step, c.name, c.child_id, c.generation
  from intendant_child c
 where c.parent_id = ?1 and (c.step, c.generation, c.name) > (?2, ?3, ?4)
 order by c.step, c.generation, c.name limit ?5
