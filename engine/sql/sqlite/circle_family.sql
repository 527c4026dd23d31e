-- Circle: descendants of these that have not finished and stand in line. Primary keys; line_by_intent.
-- 1 intents, 2 how many at most.
with recursive down (root, id) as (
  select c.parent_id, c.child_id from intendant_child c
   where c.parent_id in (select n.value from jsonb_each(?1) n)
     and not exists (select 1 from intendant_outcome o where o.intent_id = c.child_id)
  union all
  select down.root, c.child_id from down join intendant_child c on c.parent_id = down.id
   where not exists (select 1 from intendant_outcome o where o.intent_id = c.child_id)
)
select root, id from down where exists (select 1 from intendant_line l where l.intent_id = down.id) limit ?2
