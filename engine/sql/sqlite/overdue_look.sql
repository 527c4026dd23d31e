-- The limit of an intent is over: its steps in other queues that nobody holds, but for those that take back. The unique key
-- of *routed*, the primary key of *started*, and the leases of the moment. 1 intent, 2 limit (microseconds), 3 now.
select r.task_id
  from intendant_routed r join intendant_started b on b.intent_id = r.intent_id
 where r.intent_id = ?1 and r.step not like 'undo(%'
   and coalesce(b.again_at, b.started_at) <= ?3 - ?2
   and r.task_id not in (select t.value from intendant_lease l, jsonb_each(l.tasks) t)
 order by r.task_id
