-- Cancel: takes these tasks, intents and routed steps, out of *ready*; they are locked. What is filed by
-- partition has crashed nobody. Primary keys. 1 tasks.
with i as (
  select id, queue, kind, position from intendant.intent where id = any ($1::uuid[])
  union all
  select task_id, queue, kind, position from intendant.routed where task_id = any ($1::uuid[])
)
delete from intendant.ready r using i
 where r.queue = i.queue and r.kind = i.kind
   and r.crashes = any ('{-1,0,1,2,3,4,5,6,7,8,9}'::smallint[]) and r.position = i.position and r.intent_id = i.id
returning r.intent_id, greatest(r.crashes, 0)::bigint
