-- Finish of cancelled intents, and discard: what their steps waited for by names, and has not come, is waited for no longer.
-- Primary key. 1 intents.
delete from intendant.awaited where intent_id = any ($1::uuid[]) and signal_id is null
