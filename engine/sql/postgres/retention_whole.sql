-- Retention: those of these intents that still have their payloads. Primary key. 1 intents.
select i.id from intendant.intent i where i.id = any ($1::uuid[]) and i.payload_removed_at is null
