-- Find, newest first: those in an unfinished state, or in any. Driven by the place that holds them, then one primary
-- key each, so that the cost does not grow with history (`cross join` fixes the order).
-- 1 limit, 2 before this id, 3 down to this id, 4 kind, 5 state, 6 requester, 7–8 requested since, until, 9 finished
-- since, 10 text in the error, 11–12 label, 13 account, 14 resource, 15 correlation id.
with place (id) as materialized (
  select c.intent_id from intendant_cancel c
   where ?5 = 'undoing' and not exists (select 1 from intendant_outcome o where o.intent_id = c.intent_id)
  union all
  select r.intent_id from intendant_ready r where ?5 in ('ready', 'unfinished')
  union all
  select p.intent_id from intendant_parked p where ?5 in ('waiting', 'unfinished')
  union all
  select b.intent_id from intendant_blocked b where ?5 in ('blocked', 'unfinished')
  union all
  select t.value from intendant_lease l, jsonb_each(l.tasks) t
   where ?5 in ('running', 'unfinished')
     and not exists (select 1 from intendant_outcome o where o.intent_id = t.value)
)
select i.id
  from place p
  cross join intendant_intent i on i.id = p.id
 where p.id < ?2 and p.id >= ?3
   and (?4 is null or i.kind = ?4)
   and (?6 is null or i.requested_by = ?6)
   and (?15 is null or i.correlation_id = ?15)
   and (?7 is null or i.requested_at >= ?7) and (?8 is null or i.requested_at < ?8)
   and (?11 is null or exists (select 1 from intendant_label l
                            where l.intent_id = i.id and l.name = ?11 and l.value = ?12))
   and (?13 is null or i.account = ?13)
   and (?14 is null or exists (select 1 from intendant_resource r where r.intent_id = i.id and r.resource = ?14))
   and (?5 in ('unfinished', 'undoing') or not exists (select 1 from intendant_cancel c where c.intent_id = i.id))
   and ?9 is null and ?10 is null
 order by p.id desc limit ?1
