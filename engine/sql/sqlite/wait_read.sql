-- Tick and claim: what has come, as far as it is counted, and whether steps wait for anything by names. Read before what is
-- counted, never after.
select w.intent_id, w.arrived, exists (select 1 from intendant_awaited a where a.intent_id = w.intent_id)
  from intendant_wait w where w.intent_id in (select n.value from jsonb_each(?1) n)
