-- Tick: steps that are run again wait anew: a message that comes now is not for what they waited for before. What has come
-- stays with the generation that took it. Primary key. 1 intent, step, generation so far.
delete from intendant_awaited where signal_id is null and (intent_id, step, generation, name) in (
  select a.intent_id, a.step, a.generation, a.name
    from jsonb_each(?1) n join intendant_awaited a on a.intent_id = n.value ->> 0 and a.step = n.value ->> 1
   where a.generation <= n.value ->> 2)
