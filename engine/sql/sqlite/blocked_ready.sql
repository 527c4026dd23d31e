-- Finish: from *blocked* to *ready*; the position stays. Two statements in one text: SQLite has no writes in a `with`.
insert into intendant_ready (queue, kind, position, intent_id, started, locks)
select i.queue, i.kind, i.position, i.id, exists (select 1 from intendant_started s where s.intent_id = i.id), 1
  from intendant_blocked b join intendant_intent i on i.id = b.intent_id
 where b.intent_id in (select n.value from jsonb_each(?1) n);
delete from intendant_blocked where intent_id in (select n.value from jsonb_each(?1) n)
returning intent_id
