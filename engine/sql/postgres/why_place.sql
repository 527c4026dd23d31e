-- Why: one intent and the place where it is. Primary keys, and the leases of the moment. 1 intent.
select i.id, i.kind, i.queue, i.account, i.requested_by, i.requested_at, i.position,
       o.state, o.finished_at, o.reason, o.error, o.step, p.reason, p.due_at, b.intent_id is not null,
       coalesce(r.crashes, 0)::bigint, l.claimed_at, l.worker, l.host, l.beat_at, l.lease_ms, l.free, clock_timestamp(),
       c.actor, c.reason, c.at, c.goal, x.intents::bigint, x.until, q.actor, q.reason, q.asked_at
  from intendant.intent i
  left join intendant.outcome o on o.intent_id = i.id
  left join intendant.parked p on p.intent_id = i.id
  left join intendant.blocked b on b.intent_id = i.id
  left join intendant.cancel c on c.intent_id = i.id
  left join intendant.poison x on x.kind = i.kind and x.intents > 1
  left join intendant.cancel_request q on q.id = (select q.id from intendant.cancel_request q where q.intent_id = i.id order by q.id limit 1)
  left join lateral (
    select max(r.crashes) as crashes from intendant.ready r
     where r.queue = i.queue and r.kind = i.kind and r.crashes = any ('{1,2,3,4,5,6,7,8,9}'::smallint[])
       and r.position = i.position and r.intent_id = i.id
  ) r on true
  left join lateral (
    select l.claimed_at, s.worker, s.host, s.beat_at, s.lease_ms, s.free
      from intendant.lease l join intendant.session s on s.id = l.session_id
     where i.id = any (l.tasks) and o.intent_id is null limit 1
  ) l on true
 where i.id = $1::uuid
