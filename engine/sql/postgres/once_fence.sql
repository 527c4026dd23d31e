-- cx.transaction: the session lives and the lease has the task. Key share: a reaper waits, a heartbeat does not.
-- 1 session, 2 lease, 3 task.
select s.worker from intendant.session s
  join intendant.lease l on l.session_id = s.id
 where s.id = $1::uuid and l.id = $2::uuid and $3::uuid = any (l.tasks)
   for key share of s
