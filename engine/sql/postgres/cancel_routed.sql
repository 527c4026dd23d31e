-- Cancel: the steps of these intents that are under way in other queues, but for those that take back, and the sessions that hold some of them; the others
-- are in *ready* or *parked*. The unique key of *routed*, and the leases of the moment. Locks nothing. 1 intents.
select r.intent_id, r.task_id, l.session_id
  from intendant.routed r
  left join lateral (
    select l.session_id from intendant.lease l where r.task_id = any (l.tasks) limit 1
  ) l on true
 where r.intent_id = any ($1::uuid[]) and r.step not like 'undo(%'
