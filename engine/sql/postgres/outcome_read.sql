-- Handles and verbs: what came of these intents. Primary key.
select intent_id, state, output, reason, error, step, payload_removed_at
  from intendant.outcome where intent_id = any ($1::uuid[])
