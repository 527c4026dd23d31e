-- Tick and claim: what has come, as far as it is counted, and whether steps wait for anything by names. Read before what is
-- counted, never after.
select w.intent_id, w.arrived, exists (select from intendant.awaited a where a.intent_id = w.intent_id)
  from intendant.wait w where w.intent_id = any ($1::uuid[])
