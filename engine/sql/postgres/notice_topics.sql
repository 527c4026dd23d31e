-- Housekeeping: which topics there are of these kinds of intents, so that they do not become too many. Walks the table, which
-- is small (`notice_purge`). 1 how many.
select topic, coalesce(intent_kind, '') from intendant.notice order by topic limit $1::bigint
