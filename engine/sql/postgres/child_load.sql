-- Claim, and when children have finished: the children of these intents and what came of them. Primary keys.
select c.parent_id, c.step, c.generation::bigint, c.name, c.child_id, c.input_hash, o.state, o.output, o.reason, o.error,
       o.step
  from intendant.child c left join intendant.outcome o on o.intent_id = c.child_id
 where c.parent_id = any ($1::uuid[])
