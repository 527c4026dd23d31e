-- Verbs: whose child this is, and where the step is that asked for it. Unique key of *child*, primary key. 1 intent.
select c.parent_id, coalesce(s.state, 'pending')
  from intendant_child c
  left join intendant_step s on s.intent_id = c.parent_id and s.name = c.step and s.generation = c.generation
 where c.child_id = ?1
