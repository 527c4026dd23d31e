-- Claim and reap: which steps these tasks are, what is known of them, and of their intents; what takes back is not
-- stopped; and how long ago the first attempt began, and the intent, or was put back in line. Primary keys. 1 tasks.
select r.task_id, r.intent_id, r.step, r.generation::bigint, r.queue, r.input, i.kind, i.account, i.input, i.requested_at,
       i.requested_by, i.root_id, i.correlation_id, i.depth::bigint, s.state, s.attempt::bigint, s.forgiven::bigint,
       s.output, s.error,
       (select max(a.attempt) from intendant.attempt a
         where a.intent_id = r.intent_id and a.step = r.step and a.generation = r.generation)::bigint,
       c.actor, c.reason, c.goal,
       (extract(epoch from clock_timestamp() - s.begun_at) * 1000000)::bigint,
       (extract(epoch from clock_timestamp() - coalesce(b.again_at, b.started_at, r.sent_at)) * 1000000)::bigint,
       exists (select from intendant.checkpoint k where k.intent_id = r.intent_id and k.step = r.step),
       i.traceparent
  from intendant.routed r
  join intendant.intent i on i.id = r.intent_id
  left join intendant.cancel c on c.intent_id = r.intent_id and r.step not like 'undo(%'
  join intendant.step s on s.intent_id = r.intent_id and s.name = r.step and s.generation = r.generation
  left join intendant.started b on b.intent_id = r.intent_id
 where r.task_id = any ($1::uuid[])
