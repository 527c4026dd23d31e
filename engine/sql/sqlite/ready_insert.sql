-- Hand back, reap, resume: into *ready*; a routed step by its own row. 1 task, crashes, may have results, has to take its
-- locks.
insert into intendant_ready (queue, kind, crashes, position, intent_id, started, locks, routed)
select i.queue, i.kind, n.value ->> 1, i.position, i.id, n.value ->> 2, (n.value ->> 3) and i.locks, 0
  from jsonb_each(?1) n join intendant_intent i on i.id = n.value ->> 0
union all
select r.queue, r.kind, n.value ->> 1, r.position, r.task_id, 1, 0, 1
  from jsonb_each(?1) n join intendant_routed r on r.task_id = n.value ->> 0
