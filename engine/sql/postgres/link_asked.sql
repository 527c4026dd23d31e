-- Supersede: one has been asked to stop. Primary key. 1 who, 2 for whom.
update intendant.link set asked_at = clock_timestamp()
 where intent_id = $1::uuid and relation = 'superseded by' and other_id = $2::uuid
