-- History, newest first: those in an unfinished state. Driven by the place that holds them, then one primary key each,
-- so that the cost does not grow with history (`offset 0` keeps the planner from turning that round).
-- 1 limit, 2 before this id, 3 kind, 4 state, 5 account, 6 resource.
with place (id, claimed_at, reason, due_at) as (
  select r.intent_id, null::timestamptz, null::text, null::timestamptz from intendant.ready r where $4::text = 'ready'
  union all
  select p.intent_id, null, p.reason, p.due_at from intendant.parked p where $4::text = 'waiting'
  union all
  select b.intent_id, null, null, null from intendant.blocked b where $4::text = 'blocked'
  union all
  select t.id, l.claimed_at, null, null from intendant.lease l cross join lateral unnest(l.tasks) as t (id)
   where $4::text = 'running' and not exists (select from intendant.outcome o where o.intent_id = t.id)
)
select i.id, i.kind, i.queue, i.account, i.input, i.priority::bigint, i.requested_by, i.requested_at, i.run_at, i.parent_id,
       i.parent_step, i.root_id, i.correlation_id, $4::text as state,
       coalesce(s.started_at, case when p.claimed_at is not null then greatest(p.claimed_at, i.requested_at) end),
       null::timestamptz, null::json, null::text, null::text, null::text, s.plan_hash, p.reason, p.due_at
  from (select id, claimed_at, reason, due_at from place where $2::uuid is null or id < $2::uuid order by id desc) p
  cross join lateral (
    select i.id, i.kind, i.queue, i.account, i.input, i.priority, i.requested_by, i.requested_at, i.run_at, i.parent_id,
           i.parent_step, i.root_id, i.correlation_id
      from intendant.intent i
     where i.id = p.id and ($3::text is null or i.kind = $3::text) and ($5::text is null or i.account = $5::text)
       and ($6::text is null
            or exists (select from intendant.resource r where r.intent_id = i.id and r.resource = $6::text))
    offset 0
  ) i
  left join intendant.started s on s.intent_id = p.id
 order by p.id desc limit $1::bigint
