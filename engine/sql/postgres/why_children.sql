-- Why: the children of one intent that have not finished. Primary keys. 1 intent, 2 limit.
select c.step, c.name, c.child_id
  from intendant.child c
 where c.parent_id = $1::uuid and not exists (select from intendant.outcome o where o.intent_id = c.child_id)
 order by c.step, c.generation, c.name limit $2::bigint
