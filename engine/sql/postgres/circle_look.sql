-- Housekeeping: the oldest of those that are blocked and have an ancestor that holds something. Index blocked_kin.
-- 1 how many.
select intent_id from intendant.blocked where kin order by intent_id limit $1::bigint
