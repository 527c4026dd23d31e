-- Cancel: takes these tasks, intents and routed steps, out of *ready*. What is filed by
-- partition has crashed nobody. Primary keys. 1 tasks.
delete from intendant_ready where (queue, kind, crashes, position, intent_id) in (
  select i.queue, i.kind, c.value, i.position, i.id
    from intendant_intent i, jsonb_each('[-1,0,1,2,3,4,5,6,7,8,9]') c
   where i.id in (select n.value from jsonb_each(?1) n)
  union all
  select r.queue, r.kind, c.value, r.position, r.task_id
    from intendant_routed r, jsonb_each('[-1,0,1,2,3,4,5,6,7,8,9]') c
   where r.task_id in (select n.value from jsonb_each(?1) n))
returning intent_id, max(crashes, 0)
