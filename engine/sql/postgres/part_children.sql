-- History: one intent's children after one of them, in the order of the primary key. 1 intent, 2 step, 3 generation, 4 name,
-- 5 how many.
select c.step, c.name, c.child_id, c.generation::bigint
  from intendant.child c
 where c.parent_id = $1::uuid and (c.step, c.generation, c.name) > ($2::text, $3::bigint, $4::text)
 order by c.step, c.generation, c.name limit $5::bigint
