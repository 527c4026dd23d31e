-- Claim, and tick of intents in hand: what their steps wait for by names, and what has come. Primary keys. 1 intents,
-- 2 now.
select a.intent_id, a.step, a.generation, a.name, a.sort, max(a.due_at, 0) - ?2, s.payload
  from intendant_awaited a left join intendant_signal s on s.id = a.signal_id
 where a.intent_id in (select n.value from jsonb_each(?1) n)
