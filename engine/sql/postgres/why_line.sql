-- Why: who stands before one intent in the line for a resource. Primary key. 1 resource, 2 position, 3 intent, 4 limit.
select intent_id, mode, among, position from intendant.line
 where resource = $1::text and (position, intent_id) < ($2::bigint, $3::uuid)
 order by position, intent_id limit $4::bigint
