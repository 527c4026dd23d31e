-- Tick: promotes what is due, at most 1. Index parked_due; two statements in one text. 2 now.
insert into intendant_ready (queue, kind, position, intent_id, started, locks, routed)
with due (task_id, reason) as materialized (
  select intent_id, reason from intendant_parked where due_at <= ?2 order by due_at, intent_id limit ?1
)
select i.queue, i.kind, i.position, i.id, p.reason <> 'start time', i.locks and p.reason = 'start time', 0
  from due p join intendant_intent i on i.id = p.task_id
union all
select r.queue, r.kind, r.position, r.task_id, 1, 0, 1
  from due p join intendant_routed r on r.task_id = p.task_id;
delete from intendant_parked where intent_id in (
  select intent_id from intendant_parked where due_at <= ?2 order by due_at, intent_id limit ?1)
returning intent_id
