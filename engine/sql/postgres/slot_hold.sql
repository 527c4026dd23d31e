-- Reap and close: locks the queues of which a session has slots, or tasks that are counted, sorted, before anything but the session. What it has of them is
-- read by the next statement, since this one sees what was there before it waited. Primary keys. 1 session.
select q.name from intendant.queue q
 where q.name in (select s.queue from intendant.slot s where s.session_id = $1::uuid)
    or q.name in (select t.queue from intendant.partition_task t where t.session_id = $1::uuid)
 order by q.name for update
