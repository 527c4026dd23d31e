-- Find: how far back one look goes, among what failed or was cancelled of an account. Index
-- intendant_outcome_unsuccessful_of_account, backwards. 1 before this id, 2 rows, 3 account, 4 state.
select intent_id from intendant_outcome indexed by intendant_outcome_unsuccessful_of_account
 where account = ?3 and state = ?4 and state <> 'succeeded' and intent_id < ?1
 order by intent_id desc limit 1 offset ?2 - 1
