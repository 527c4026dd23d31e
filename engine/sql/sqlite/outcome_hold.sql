-- Amend: the intent has failed. Primary key. 1 intent.
select state from intendant_outcome where intent_id = ?1 and state = 'failed'
