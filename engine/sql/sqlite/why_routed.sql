-- Why: the steps of one intent that are under way in other queues, the first sent in front, and the places where they are.
-- The unique key, primary keys, and the leases of the moment. 1 intent, 2 limit.
with held (task_id, claimed_at, worker, host, beat_at, lease_ms, free) as (
  select t.value, l.claimed_at, c.worker, c.host, c.beat_at, c.lease_ms, c.free
    from intendant_lease l join intendant_session c on c.id = l.session_id, jsonb_each(l.tasks) t
)
select r.step, r.queue, r.sent_at, r.task_id, r.position, p.reason, p.due_at,
       coalesce((select max(t.crashes) from intendant_ready t
                  where t.queue = r.queue and t.kind = r.kind and t.crashes in (1, 2, 3, 4, 5, 6, 7, 8, 9)
                    and t.position = r.position and t.intent_id = r.task_id), 0),
       l.claimed_at, l.worker, l.host, l.beat_at, l.lease_ms, l.free,
       s.state, s.attempt, s.error, s.due_at, s.started_at, s.progress
  from intendant_routed r
  join intendant_step s on s.intent_id = r.intent_id and s.name = r.step and s.generation = r.generation
  left join intendant_parked p on p.intent_id = r.task_id
  left join held l on l.task_id = r.task_id
 where r.intent_id = ?1 order by r.task_id limit ?2
