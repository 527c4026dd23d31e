-- Tick: of intents that fail, the steps that nobody has in hand in their queues are not begun any more; a resume sends them
-- anew. One that ran when its worker died is left to whoever takes it over: whether it may be run again is in its code. Waits for a claim that is just taking one. The unique key, primary keys. 1 intents.
with own as (
  select r.task_id, r.queue, r.kind, r.position
    from intendant.routed r
    join intendant.step s on s.intent_id = r.intent_id and s.name = r.step and s.generation = r.generation
   where r.intent_id = any ($1::uuid[]) and r.step not like 'undo(%' and s.state <> 'running'
), ready as (
  delete from intendant.ready d using own o
   where d.queue = o.queue and d.kind = o.kind and d.crashes = any ('{-1,0,1,2,3,4,5,6,7,8,9}'::smallint[])
     and d.position = o.position and d.intent_id = o.task_id
  returning d.intent_id as task_id
), parked as (
  delete from intendant.parked p using own o where p.intent_id = o.task_id returning p.intent_id as task_id
), gone as (
  delete from intendant.routed r using (select task_id from ready union all select task_id from parked) t
   where r.task_id = t.task_id
  returning r.intent_id, r.step, r.generation
)
update intendant.step s set state = 'pending', error = null, due_at = null, started_at = null, worker = null
  from gone g
 where s.intent_id = g.intent_id and s.name = g.step and s.generation = g.generation
   and s.state = 'waiting'
