-- Supersede: one has been asked to stop. Primary key. 1 who, 2 for whom, 3 now.
update intendant_link set asked_at = ?3 where intent_id = ?1 and relation = 'superseded by' and other_id = ?2
