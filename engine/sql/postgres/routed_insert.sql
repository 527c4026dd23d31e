-- Tick: steps are sent off to other queues; each is a task from now on. The unique key lets a step be sent once.
-- 1–6 task, intent, step, generation, queue, input.
with sent as (
  insert into intendant.routed (task_id, intent_id, step, generation, queue, kind, position, input, sent_at)
  select n.task_id, n.intent_id, n.step, n.generation, n.queue, i.kind, i.position, n.input::json, clock_timestamp()
    from unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::text[])
         as n (task_id, intent_id, step, generation, queue, input)
    join intendant.intent i on i.id = n.intent_id
  returning queue, kind, position, task_id
)
insert into intendant.ready (queue, kind, position, intent_id, started, locks, routed)
select queue, kind, position, task_id, true, false, true from sent
