-- Why: one intent and the place where it is. Primary keys, and the leases of the moment. 1 intent, 2 now.
with held (claimed_at, worker, host, beat_at, lease_ms, free) as (
  select l.claimed_at, s.worker, s.host, s.beat_at, s.lease_ms, s.free
    from intendant_lease l join intendant_session s on s.id = l.session_id, jsonb_each(l.tasks) t
   where t.value = ?1 limit 1
)
select i.id, i.kind, i.queue, i.account, i.requested_by, i.requested_at, i.position,
       o.state, o.finished_at, o.reason, o.error, o.step, p.reason, p.due_at, b.intent_id is not null,
       coalesce((select max(r.crashes) from intendant_ready r
                  where r.queue = i.queue and r.kind = i.kind and r.crashes in (1, 2, 3, 4, 5, 6, 7, 8, 9)
                    and r.position = i.position and r.intent_id = i.id), 0),
       l.claimed_at, l.worker, l.host, l.beat_at, l.lease_ms, l.free, ?2,
       c.actor, c.reason, c.at, c.goal, x.intents, x.until, q.actor, q.reason, q.asked_at
  from intendant_intent i
  left join intendant_outcome o on o.intent_id = i.id
  left join intendant_parked p on p.intent_id = i.id
  left join intendant_blocked b on b.intent_id = i.id
  left join intendant_cancel c on c.intent_id = i.id
  left join intendant_poison x on x.kind = i.kind and x.intents > 1
  left join intendant_cancel_request q on q.id = (select q.id from intendant_cancel_request q where q.intent_id = i.id order by q.id limit 1)
  left join held l on o.intent_id is null
 where i.id = ?1
