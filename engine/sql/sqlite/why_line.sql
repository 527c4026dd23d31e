-- Why: who stands before one intent in the line for a resource. Primary key. 1 resource, 2 position, 3 intent, 4 limit.
select intent_id, mode, among, position from intendant_line
 where resource = ?1 and (position, intent_id) < (?2, ?3) order by position, intent_id limit ?4
