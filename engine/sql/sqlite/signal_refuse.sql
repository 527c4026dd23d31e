-- Tick: messages that are not what their steps expect are set aside; the steps wait on. Primary keys. Two statements in
-- one text. 1 intent, step, generation, name, why.
update intendant_signal as s set refused = n.value ->> 4
  from jsonb_each(?1) n
  join intendant_awaited a on a.intent_id = n.value ->> 0 and a.step = n.value ->> 1 and a.generation = n.value ->> 2
                          and a.name = n.value ->> 3
 where s.id = a.signal_id;
update intendant_awaited as a set signal_id = null
  from jsonb_each(?1) n
 where a.intent_id = n.value ->> 0 and a.step = n.value ->> 1 and a.generation = n.value ->> 2
   and a.name = n.value ->> 3
