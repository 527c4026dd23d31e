-- Handles and verbs: what came of these intents. Primary key.
select intent_id, state, output, reason, error, step from intendant.outcome where intent_id = any ($1::uuid[])
