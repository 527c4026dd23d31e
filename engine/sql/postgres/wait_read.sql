-- Tick and claim: completions counted so far. Read before the children's outcomes, never after.
select intent_id, arrived from intendant.wait where intent_id = any ($1::uuid[])
