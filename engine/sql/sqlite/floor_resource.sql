-- Find: how far back one look goes, on a resource. Index intendant_resource_history, backwards.
-- 1 before this id, 2 rows, 3 resource.
select intent_id from intendant_resource indexed by intendant_resource_history where resource = ?3 and intent_id < ?1
 order by intent_id desc limit 1 offset ?2 - 1
