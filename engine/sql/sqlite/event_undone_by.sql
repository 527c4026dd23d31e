-- Undo of what succeeded: which intent takes this one back, if one has been asked for. Primary key. 1 intent.
select detail ->> 'by' from intendant_event
 where intent_id = ?1 and verb = 'undo' and detail ->> 'by' is not null order by seq desc limit 1
