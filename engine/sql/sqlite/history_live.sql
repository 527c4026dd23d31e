-- History, newest first: those in an unfinished state. Driven by the place that holds them, then one primary key each,
-- so that the cost does not grow with history (`cross join` fixes the order).
-- 1 limit, 2 before this id, 3 kind, 4 state, 5 account, 6 resource.
with place (id, claimed_at, reason, due_at) as materialized (
  select r.intent_id, null, null, null from intendant_ready r where ?4 = 'ready'
  union all
  select p.intent_id, null, p.reason, p.due_at from intendant_parked p where ?4 = 'waiting'
  union all
  select b.intent_id, null, null, null from intendant_blocked b where ?4 = 'blocked'
  union all
  select t.value, l.claimed_at, null, null from intendant_lease l, jsonb_each(l.tasks) t
   where ?4 = 'running' and not exists (select 1 from intendant_outcome o where o.intent_id = t.value)
)
select i.id, i.kind, i.queue, i.account, i.input, i.priority, i.requested_by, i.requested_at, i.run_at, i.parent_id,
       i.parent_step, i.root_id, i.correlation_id, ?4 as state,
       coalesce(s.started_at, max(p.claimed_at, i.requested_at)), null, null, null, null, null, s.plan_hash, p.reason,
       p.due_at
  from place p
  cross join intendant_intent i on i.id = p.id
  left join intendant_started s on s.intent_id = p.id
 where p.id < coalesce(?2, '~')
   and (?3 is null or i.kind = ?3)
   and (?5 is null or i.account = ?5)
   and (?6 is null or exists (select 1 from intendant_resource r where r.intent_id = i.id and r.resource = ?6))
 order by p.id desc limit ?1
