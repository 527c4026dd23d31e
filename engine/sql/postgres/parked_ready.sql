-- Wake: from *parked* to *ready*, those that are still parked.
with moved as (
  delete from intendant.parked where intent_id = any ($1::uuid[]) returning intent_id, reason
)
insert into intendant.ready (queue, kind, position, intent_id, started, locks)
select i.queue, i.kind, i.position, i.id, m.reason <> 'start time', i.locks and m.reason = 'start time'
  from moved m join intendant.intent i on i.id = m.intent_id
returning intent_id
