-- Find: how far back one look goes, in an account. Index intent_by_account, backwards.
-- 1 before this id, 2 rows, 3 account.
select id from intendant.intent
 where account >= $3::text and (account, id) < ($3::text, $1::uuid)
   and (account, id) >= ($3::text, '00000000-0000-0000-0000-000000000000')
 order by account desc, id desc offset $2::bigint - 1 limit 1
