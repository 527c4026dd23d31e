-- Tick: promotes what is due, at most 1. Index parked_due; two statements in one text. 2 now.
insert into intendant_ready (queue, kind, position, intent_id, started, locks)
select i.queue, i.kind, i.position, i.id, p.reason <> 'start time', i.locks and p.reason = 'start time'
  from (select intent_id, reason from intendant_parked where due_at <= ?2 order by due_at, intent_id limit ?1) p
  join intendant_intent i on i.id = p.intent_id;
delete from intendant_parked where intent_id in (
  select intent_id from intendant_parked where due_at <= ?2 order by due_at, intent_id limit ?1)
returning intent_id
