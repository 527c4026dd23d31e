-- Finish: from *blocked* to *ready*; the position stays (P1: consumed and made in one commit).
with moved as (
  delete from intendant.blocked where intent_id = any ($1::uuid[]) returning intent_id
)
insert into intendant.ready (queue, kind, position, intent_id, started, locks)
select i.queue, i.kind, i.position, i.id, exists (select from intendant.started s where s.intent_id = i.id), true
  from moved m join intendant.intent i on i.id = m.intent_id
returning intent_id
