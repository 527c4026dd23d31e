-- Why: what the waiting steps of one intent wait for by names: signals, and times. Primary keys. 1 intent, 2 limit.
select a.step, a.name, a.sort, a.due_at
  from intendant.awaited a
  join intendant.step s on s.intent_id = a.intent_id and s.name = a.step and s.generation = a.generation
 where a.intent_id = $1::uuid and s.state = 'waiting' and a.signal_id is null
   and a.name in (select json_array_elements_text(s.waits))
 order by a.asked_at, a.step, a.name limit $2::bigint
