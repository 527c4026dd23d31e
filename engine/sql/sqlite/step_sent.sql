-- Tick of intents in hand whose steps ran in other queues: what these have come to. Columns as in `step_load`; primary key,
-- highest generation. 1 intents, 2 now.
select intent_id, name, max(generation), state, attempt, forgiven, output, max(due_at, 0) - ?2, error, reason, queue,
       exists (
         select 1 from intendant_routed r
          where r.intent_id = s.intent_id and r.step = s.name and r.generation = s.generation), spare, waits,
       exists (select 1 from intendant_checkpoint c where c.intent_id = s.intent_id and c.step = s.name),
       ?2 - max(begun_at, 0)
  from intendant_step s where intent_id in (select n.value from jsonb_each(?1) n) and queue is not null
 group by intent_id, name
