-- Find, newest first: on a resource. Index intendant_resource_history, backwards.
-- 1 limit, 2 before this id, 3 down to this id, 4 kind, 5 state, 6 requester, 7–8 requested since, until, 9 finished
-- since, 10 text in the error, 11–12 label, 13 account, 14 resource, 15 correlation id.
select i.id
  from intendant_resource d indexed by intendant_resource_history
  cross join intendant_intent i on i.id = d.intent_id
  left join intendant_outcome o on o.intent_id = d.intent_id
 where d.resource = ?14 and d.intent_id < ?2 and d.intent_id >= ?3
   and (?4 is null or i.kind = ?4)
   and (?5 is null or coalesce(o.state, 'unfinished') = ?5)
   and (?6 is null or i.requested_by = ?6)
   and (?15 is null or i.correlation_id = ?15)
   and (?7 is null or i.requested_at >= ?7) and (?8 is null or i.requested_at < ?8)
   and (?9 is null or o.finished_at >= ?9)
   and (?10 is null or instr(lower(o.error), lower(?10)) > 0)
   and (?11 is null or exists (select 1 from intendant_label l
                            where l.intent_id = i.id and l.name = ?11 and l.value = ?12))
   and (?13 is null or i.account = ?13)
 order by d.intent_id desc limit ?1
