-- Finish of cancelled intents, and discard: what their steps waited for by names, and has not come, is waited for no longer.
-- Primary key. 1 intents.
delete from intendant_awaited where intent_id in (select n.value from jsonb_each(?1) n) and signal_id is null
