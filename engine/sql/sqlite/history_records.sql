-- Records of these intents, newest first. Primary keys, and the leases of the moment. 1 intents.
with held (id, claimed_at) as materialized (
  select t.value, l.claimed_at from intendant_lease l, jsonb_each(l.tasks) t
)
select i.id, i.kind, i.queue, i.account, i.input, i.priority, i.requested_by, i.requested_at, i.run_at, i.parent_id,
       i.parent_step, i.root_id, i.correlation_id,
       case when o.state is not null then o.state
            when exists (select 1 from intendant_cancel c where c.intent_id = i.id) then 'undoing'
            when p.intent_id is not null then 'waiting'
            when b.intent_id is not null then 'blocked'
            when l.claimed_at is not null then 'running'
            else 'ready' end as state,
       coalesce(o.started_at, s.started_at, max(l.claimed_at, i.requested_at)), o.finished_at, o.output, o.reason,
       o.error, o.step, coalesce(o.plan_hash, s.plan_hash), p.reason, p.due_at, o.payload_removed_at, i.traceparent
  from intendant_intent i
  left join intendant_outcome o on o.intent_id = i.id
  left join intendant_started s on s.intent_id = i.id
  left join intendant_parked p on p.intent_id = i.id
  left join intendant_blocked b on b.intent_id = i.id
  left join held l on l.id = i.id and o.intent_id is null
 where i.id in (select n.value from jsonb_each(?1) n) order by i.id desc
