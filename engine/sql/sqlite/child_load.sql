-- Claim, and when children have finished: the children of these intents and what came of them. Primary keys.
select c.parent_id, c.step, c.generation, c.name, c.child_id, c.input_hash, o.state, o.output, o.reason, o.error, o.step
  from intendant_child c left join intendant_outcome o on o.intent_id = c.child_id
 where c.parent_id in (select n.value from jsonb_each(?1) n)
