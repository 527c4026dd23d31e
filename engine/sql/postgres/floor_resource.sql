-- Find: how far back one look goes, on a resource. Index resource_history, backwards.
-- 1 before this id, 2 rows, 3 resource.
select intent_id from intendant.resource
 where (resource, intent_id) < ($3::text, $1::uuid)
   and (resource, intent_id) >= ($3::text, '00000000-0000-0000-0000-000000000000')
 order by resource desc, intent_id desc offset $2::bigint - 1 limit 1
