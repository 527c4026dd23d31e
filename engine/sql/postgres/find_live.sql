-- Find, newest first: those in an unfinished state, or in any. Driven by the place that holds them, then one primary
-- key each, so that the cost does not grow with history (`offset 0` keeps the planner from turning that round).
-- 1 limit, 2 before this id, 3 down to this id, 4 kind, 5 state, 6 requester, 7–8 requested since, until, 9 finished
-- since, 10 text in the error, 11–12 label, 13 account, 14 resource, 15 correlation id.
with place (id) as (
  select c.intent_id from intendant.cancel c
   where $5::text = 'undoing' and not exists (select from intendant.outcome o where o.intent_id = c.intent_id)
  union all
  select r.intent_id from intendant.ready r where $5::text in ('ready', 'unfinished')
  union all
  select p.intent_id from intendant.parked p where $5::text in ('waiting', 'unfinished')
  union all
  select b.intent_id from intendant.blocked b where $5::text in ('blocked', 'unfinished')
  union all
  select t.id from intendant.lease l cross join lateral unnest(l.tasks) as t (id)
   where $5::text in ('running', 'unfinished')
     and not exists (select from intendant.outcome o where o.intent_id = t.id)
)
select i.id
  from (select id from place where id < $2::uuid and id >= $3::uuid order by id desc) p
  cross join lateral (
    select i.id, i.kind, i.account, i.requested_by, i.correlation_id, i.requested_at
      from intendant.intent i where i.id = p.id offset 0
  ) i
 where ($4::text is null or i.kind = $4::text)
   and ($6::text is null or i.requested_by = $6::text)
   and ($15::text is null or i.correlation_id = $15::text)
   and ($7::bigint is null or i.requested_at >= timestamptz 'epoch' + $7::bigint * interval '1 microsecond')
   and ($8::bigint is null or i.requested_at < timestamptz 'epoch' + $8::bigint * interval '1 microsecond')
   and ($11::text is null or exists (select from intendant.label l
                                      where l.intent_id = i.id and l.name = $11::text and l.value = $12::text))
   and ($13::text is null or i.account = $13::text)
   and ($14::text is null or exists (select from intendant.resource r
                                      where r.intent_id = i.id and r.resource = $14::text))
   and ($5::text in ('unfinished', 'undoing') or not exists (select from intendant.cancel c where c.intent_id = i.id))
   and $9::bigint is null and $10::text is null
 order by p.id desc limit $1::bigint
