-- Cancel: the steps of these intents that are under way in other queues, but for those that take back, and the sessions that hold some of them; the others
-- are in *ready* or *parked*. The unique key of *routed*, and the leases of the moment. 1 intents.
with held (id, session_id) as materialized (
  select t.value, l.session_id from intendant_lease l, jsonb_each(l.tasks) t
)
select r.intent_id, r.task_id, l.session_id
  from intendant_routed r left join held l on l.id = r.task_id
 where r.intent_id in (select n.value from jsonb_each(?1) n) and r.step not like 'undo(%'
