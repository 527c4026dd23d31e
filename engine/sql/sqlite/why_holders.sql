-- Why: who holds a resource. Primary key. 1 resource, 2 limit.
select intent_id, mode from intendant_holder where resource = ?1 order by intent_id limit ?2
