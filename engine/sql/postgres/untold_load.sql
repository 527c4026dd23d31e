-- Housekeeping: why these failed, if they are failed still. Primary key.
select intent_id, kind, step, error, finished_at from intendant.outcome
 where intent_id = any ($1::uuid[]) and state = 'failed'
