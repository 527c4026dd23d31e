-- Handles and verbs: what came of these intents. Primary key.
select intent_id, state, output, reason, error, step, payload_removed_at
  from intendant_outcome
 where intent_id in (select n.value from jsonb_each(?1) n)
