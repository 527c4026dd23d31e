-- Tick: steps are sent off to other queues; each is a task from now on. The unique key lets a step be sent once. Two
-- statements in one text. 1 task, intent, step, generation, queue, input; 2 now.
insert into intendant_routed (task_id, intent_id, step, generation, queue, kind, position, input, sent_at)
select n.value ->> 0, n.value ->> 1, n.value ->> 2, n.value ->> 3, n.value ->> 4, i.kind, i.position, n.value ->> 5, ?2
  from jsonb_each(?1) n join intendant_intent i on i.id = n.value ->> 1;
insert into intendant_ready (queue, kind, position, intent_id, started, locks, routed)
select r.queue, r.kind, r.position, r.task_id, 1, 0, 1
  from jsonb_each(?1) n join intendant_routed r on r.task_id = n.value ->> 0
