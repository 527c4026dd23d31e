-- Find: how far back one look goes, with a label. Index label_history, backwards.
-- 1 before this id, 2 rows, 3 name, 4 value.
select intent_id from intendant.label
 where (name, value, intent_id) < ($3::text, $4::text, $1::uuid)
   and (name, value, intent_id) >= ($3::text, $4::text, '00000000-0000-0000-0000-000000000000')
 order by name desc, value desc, intent_id desc offset $2::bigint - 1 limit 1
