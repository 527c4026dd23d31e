-- Tick: of intents that fail, the steps that nobody has in hand in their queues are not begun any more; a resume sends them
-- anew. One that ran when its worker died is left to whoever takes it over: whether it may be run again is in its code. The
-- unique key, primary keys, and the leases of the moment. Four statements in one text. 1 intents.
delete from intendant_ready where (queue, kind, crashes, position, intent_id) in (
  select r.queue, r.kind, c.value, r.position, r.task_id
    from jsonb_each(?1) n join intendant_routed r on r.intent_id = n.value
    join intendant_step s on s.intent_id = r.intent_id and s.name = r.step and s.generation = r.generation,
         json_each('[-1,0,1,2,3,4,5,6,7,8,9]') c
   where r.step not like 'undo(%' and s.state <> 'running');
delete from intendant_parked where intent_id in (
  select r.task_id from jsonb_each(?1) n join intendant_routed r on r.intent_id = n.value
    join intendant_step s on s.intent_id = r.intent_id and s.name = r.step and s.generation = r.generation
   where r.step not like 'undo(%' and s.state <> 'running');
update intendant_step as s set state = 'pending', error = null, due_at = null, started_at = null, worker = null
  from jsonb_each(?1) n join intendant_routed r on r.intent_id = n.value
 where s.intent_id = r.intent_id and s.name = r.step and s.generation = r.generation
   and r.step not like 'undo(%' and s.state = 'waiting'
   and not exists (select 1 from intendant_lease l, jsonb_each(l.tasks) t where t.value = r.task_id);
delete from intendant_routed where task_id in (
  select r.task_id from jsonb_each(?1) n join intendant_routed r on r.intent_id = n.value
    join intendant_step s on s.intent_id = r.intent_id and s.name = r.step and s.generation = r.generation
   where r.step not like 'undo(%' and s.state <> 'running'
     and not exists (select 1 from intendant_lease l, jsonb_each(l.tasks) t where t.value = r.task_id))
