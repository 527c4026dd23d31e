-- Find: how far back one look goes, in an account. Index intendant_intent_by_account, backwards.
-- 1 before this id, 2 rows, 3 account.
select id from intendant_intent indexed by intendant_intent_by_account where account = ?3 and id < ?1
 order by id desc limit 1 offset ?2 - 1
