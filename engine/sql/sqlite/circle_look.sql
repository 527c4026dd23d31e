-- Housekeeping: those that are blocked and have an ancestor that holds something, after one of them. Index blocked_kin.
-- 1 after whom, 2 how many.
select intent_id from intendant_blocked where kin and intent_id > ?1 order by intent_id limit ?2
