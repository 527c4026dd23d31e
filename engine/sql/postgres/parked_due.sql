-- Tick: promotes what is due, at most 1. Index parked_due; skips what another tick is promoting.
with due as (
  select intent_id from intendant.parked where due_at <= now() order by due_at, intent_id limit $1::bigint
     for update skip locked
), moved as (
  delete from intendant.parked p using due d where p.intent_id = d.intent_id returning p.intent_id, p.reason
)
insert into intendant.ready (queue, kind, position, intent_id, started, locks, routed)
select i.queue, i.kind, i.position, i.id, m.reason <> 'start time', i.locks and m.reason = 'start time', false
  from moved m join intendant.intent i on i.id = m.intent_id
union all
select r.queue, r.kind, r.position, r.task_id, true, false, true
  from moved m join intendant.routed r on r.task_id = m.intent_id
returning intent_id
