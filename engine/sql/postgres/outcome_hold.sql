-- Amend: the intent has failed, and nobody resumes it meanwhile. Primary key. 1 intent.
select state from intendant.outcome where intent_id = $1::uuid and state = 'failed' for update
