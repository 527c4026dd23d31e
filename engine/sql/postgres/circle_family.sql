-- Circle: descendants of these that have not finished and stand in line. Primary keys; line_by_intent.
-- 1 intents, 2 how many at most.
with recursive down (root, id) as (
  select c.parent_id, c.child_id from intendant.child c
   where c.parent_id = any ($1::uuid[]) and not exists (select from intendant.outcome o where o.intent_id = c.child_id)
  union all
  select down.root, c.child_id from down join intendant.child c on c.parent_id = down.id
   where not exists (select from intendant.outcome o where o.intent_id = c.child_id)
)
select root, id from down where exists (select from intendant.line l where l.intent_id = down.id) limit $2::bigint
