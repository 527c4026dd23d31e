-- Wake: from *parked* to *ready*, those that are still parked. Two statements in one text.
insert into intendant_ready (queue, kind, position, intent_id, started, locks)
select i.queue, i.kind, i.position, i.id, p.reason <> 'start time', i.locks and p.reason = 'start time'
  from intendant_parked p join intendant_intent i on i.id = p.intent_id
 where p.intent_id in (select n.value from jsonb_each(?1) n);
delete from intendant_parked where intent_id in (select n.value from jsonb_each(?1) n)
returning intent_id
