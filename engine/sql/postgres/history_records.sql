-- Records of these intents, newest first. Primary keys, and the leases of the moment. 1 intents.
select i.id, i.kind, i.queue, i.account, i.input, i.priority::bigint, i.requested_by, i.requested_at, i.run_at, i.parent_id,
       i.parent_step, i.root_id, i.correlation_id,
       case when o.state is not null then o.state
            when exists (select from intendant.cancel c where c.intent_id = i.id) then 'undoing'
            when p.intent_id is not null then 'waiting'
            when b.intent_id is not null then 'blocked'
            when l.claimed_at is not null then 'running'
            else 'ready' end as state,
       coalesce(o.started_at, s.started_at,
                case when l.claimed_at is not null then greatest(l.claimed_at, i.requested_at) end),
       o.finished_at, o.output, o.reason, o.error, o.step, coalesce(o.plan_hash, s.plan_hash), p.reason, p.due_at, o.payload_removed_at, i.traceparent
  from intendant.intent i
  left join intendant.outcome o on o.intent_id = i.id
  left join intendant.started s on s.intent_id = i.id
  left join intendant.parked p on p.intent_id = i.id
  left join intendant.blocked b on b.intent_id = i.id
  left join lateral (
    select l.claimed_at from intendant.lease l where i.id = any (l.tasks) and o.intent_id is null limit 1
  ) l on true
 where i.id = any ($1::uuid[]) order by i.id desc
