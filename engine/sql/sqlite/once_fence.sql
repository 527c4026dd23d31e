-- cx.transaction: the session lives and the lease has the task. 1 session, 2 lease, 3 task.
select s.worker from intendant_session s join intendant_lease l on l.session_id = s.id
 where s.id = ?1 and l.id = ?2 and exists (select 1 from jsonb_each(l.tasks) t where t.value = ?3)
