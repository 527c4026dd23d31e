-- Find: how far back one look goes, among what failed or was cancelled. Index outcome_unsuccessful, backwards.
-- 1 before this id, 2 rows, 3 state.
select intent_id from intendant.outcome
 where state <> 'succeeded' and state >= $3::text and (state, intent_id) < ($3::text, $1::uuid)
   and (state, intent_id) >= ($3::text, '00000000-0000-0000-0000-000000000000')
 order by state desc, intent_id desc offset $2::bigint - 1 limit 1
