-- Claim and reap: which steps these tasks are, what is known of them, and of their intents; what takes back is not
-- stopped; and how long ago the first attempt began, and the intent, or was put back in line. Primary keys. 1 tasks,
-- 2 now.
select r.task_id, r.intent_id, r.step, r.generation, r.queue, r.input, i.kind, i.account, i.input, i.requested_at,
       i.requested_by, i.root_id, i.correlation_id, i.depth, s.state, s.attempt, s.forgiven, s.output, s.error,
       (select max(a.attempt) from intendant_attempt a
         where a.intent_id = r.intent_id and a.step = r.step and a.generation = r.generation),
       c.actor, c.reason, c.goal, ?2 - max(s.begun_at, 0),
       ?2 - coalesce(b.again_at, b.started_at, r.sent_at),
       exists (select 1 from intendant_checkpoint k where k.intent_id = r.intent_id and k.step = r.step),
       i.traceparent
  from intendant_routed r
  join intendant_intent i on i.id = r.intent_id
  left join intendant_cancel c on c.intent_id = r.intent_id and r.step not like 'undo(%'
  join intendant_step s on s.intent_id = r.intent_id and s.name = r.step and s.generation = r.generation
  left join intendant_started b on b.intent_id = r.intent_id
 where r.task_id in (select n.value from jsonb_each(?1) n)
