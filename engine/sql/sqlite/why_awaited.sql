-- Why: what the waiting steps of one intent wait for by names: signals, and times. Primary keys. 1 intent, 2 limit.
select a.step, a.name, a.sort, a.due_at
  from intendant_awaited a
  join intendant_step s on s.intent_id = a.intent_id and s.name = a.step and s.generation = a.generation
 where a.intent_id = ?1 and s.state = 'waiting' and a.signal_id is null
   and a.name in (select w.value from json_each(s.waits) w)
 order by a.asked_at, a.step, a.name limit ?2
