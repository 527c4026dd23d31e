-- Retention: those of these intents that still have their payloads. Primary key. 1 intents.
select i.id from intendant_intent i where i.id in (select n.value from jsonb_each(?1) n) and i.payload_removed_at is null
