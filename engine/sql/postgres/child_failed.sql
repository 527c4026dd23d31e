-- Resume, undo and rerun: children that failed, unless another one was asked for in their place; with where the step is that
-- asked for them. Of a parent that is being taken back, those of its undos. Primary keys, and the index child_instead_of.
select c.parent_id, c.child_id, c.step, s.state from intendant.child c
  join intendant.outcome o on o.intent_id = c.child_id and o.state = 'failed'
  join intendant.step s on s.intent_id = c.parent_id and s.name = c.step and s.generation = c.generation
 where c.parent_id = any ($1::uuid[])
   and (s.name like 'undo(%' or not exists (select from intendant.cancel k where k.intent_id = c.parent_id))
   and not exists (select from intendant.child n where n.instead_of = c.child_id)
