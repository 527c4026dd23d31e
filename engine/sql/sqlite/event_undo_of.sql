-- Rerun: whether this one was asked for to take another one back. Primary key. 1 intent.
select 1 from intendant_event where intent_id = ?1 and verb = 'undo' and detail ->> 'of' is not null limit 1
