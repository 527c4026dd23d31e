-- Why: the steps of one intent that are under way in other queues, the first sent in front, and the places where they are.
-- The unique key, primary keys, and the leases of the moment. 1 intent, 2 limit.
select r.step, r.queue, r.sent_at, r.task_id, r.position, p.reason, p.due_at, coalesce(t.crashes, 0)::bigint,
       l.claimed_at, l.worker, l.host, l.beat_at, l.lease_ms, l.free,
       s.state, s.attempt::bigint, s.error, s.due_at, s.started_at, s.progress
  from intendant.routed r
  join intendant.step s on s.intent_id = r.intent_id and s.name = r.step and s.generation = r.generation
  left join intendant.parked p on p.intent_id = r.task_id
  left join lateral (
    select max(t.crashes) as crashes from intendant.ready t
     where t.queue = r.queue and t.kind = r.kind and t.crashes = any ('{1,2,3,4,5,6,7,8,9}'::smallint[])
       and t.position = r.position and t.intent_id = r.task_id
  ) t on true
  left join lateral (
    select l.claimed_at, c.worker, c.host, c.beat_at, c.lease_ms, c.free
      from intendant.lease l join intendant.session c on c.id = l.session_id
     where r.task_id = any (l.tasks) limit 1
  ) l on true
 where r.intent_id = $1::uuid order by r.task_id limit $2::bigint
