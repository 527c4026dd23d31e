-- Why: the intents that another one waits for. Primary keys, and the leases of the moment. 1 intents.
with held (id, claimed_at) as materialized (
  select t.value, l.claimed_at from intendant_lease l, jsonb_each(l.tasks) t
)
select i.id, i.kind, i.account, i.requested_by, i.requested_at,
       case when o.state is not null then o.state
            when exists (select 1 from intendant_cancel c where c.intent_id = i.id) then 'undoing'
            when p.intent_id is not null then 'waiting'
            when b.intent_id is not null then 'blocked'
            when l.claimed_at is not null then 'running'
            else 'ready' end,
       coalesce(o.finished_at, max(l.claimed_at, i.requested_at))
  from intendant_intent i
  left join intendant_outcome o on o.intent_id = i.id
  left join intendant_parked p on p.intent_id = i.id
  left join intendant_blocked b on b.intent_id = i.id
  left join held l on l.id = i.id and o.intent_id is null
 where i.id in (select n.value from jsonb_each(?1) n)
