-- Housekeeping: those that are blocked and have an ancestor that holds something, after one of them. Index blocked_kin.
-- 1 after whom, 2 how many.
select intent_id from intendant.blocked where kin and intent_id > $1::uuid order by intent_id limit $2::bigint
