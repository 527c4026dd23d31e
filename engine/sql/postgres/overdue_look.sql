-- The limit of an intent is over: its steps in other queues that nobody holds, but for those that take back. The unique key
-- of *routed*, the primary key of *started*, and the leases of the moment. Locks nothing. 1 intent, 2 limit (microseconds).
select r.task_id
  from intendant.routed r join intendant.started b on b.intent_id = r.intent_id
 where r.intent_id = $1::uuid and r.step not like 'undo(%'
   and coalesce(b.again_at, b.started_at) <= clock_timestamp() - $2::bigint * interval '1 microsecond'
   and not exists (select from intendant.lease l where r.task_id = any (l.tasks))
 order by r.task_id
