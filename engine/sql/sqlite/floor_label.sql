-- Find: how far back one look goes, with a label. Index intendant_label_history, backwards.
-- 1 before this id, 2 rows, 3 name, 4 value.
select intent_id from intendant_label indexed by intendant_label_history
 where name = ?3 and value = ?4 and intent_id < ?1 order by intent_id desc limit 1 offset ?2 - 1
