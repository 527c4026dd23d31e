-- Hand back, reap, resume: into *ready*; a routed step by its own row. 1–4 task, crashes, may have results, has to take
-- its locks.
with n (task_id, crashes, started, locks) as (
  select * from unnest($1::uuid[], $2::bigint[], $3::boolean[], $4::boolean[])
)
insert into intendant.ready (queue, kind, crashes, position, intent_id, started, locks, routed)
select i.queue, i.kind, n.crashes, i.position, i.id, n.started, n.locks and i.locks, false
  from n join intendant.intent i on i.id = n.task_id
union all
select r.queue, r.kind, n.crashes, r.position, r.task_id, true, false, true
  from n join intendant.routed r on r.task_id = n.task_id
