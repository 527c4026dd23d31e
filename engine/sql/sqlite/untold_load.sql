-- Housekeeping: why these failed, if they are failed still. Primary key.
select intent_id, kind, step, error, finished_at from intendant_outcome
 where intent_id in (select n.value from jsonb_each(?1) n) and state = 'failed'
