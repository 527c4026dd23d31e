-- Find: how far back one look goes, among what failed or was cancelled of an account. Index
-- outcome_unsuccessful_of_account, backwards. 1 before this id, 2 rows, 3 account, 4 state.
select intent_id from intendant.outcome
 where state <> 'succeeded' and account >= $3::text and (account, state, intent_id) < ($3::text, $4::text, $1::uuid)
   and (account, state, intent_id) >= ($3::text, $4::text, '00000000-0000-0000-0000-000000000000')
 order by account desc, state desc, intent_id desc offset $2::bigint - 1 limit 1
