-- Tick and claim: completions counted so far. Read before the children's outcomes, never after.
select intent_id, arrived from intendant_wait where intent_id in (select n.value from jsonb_each(?1) n)
