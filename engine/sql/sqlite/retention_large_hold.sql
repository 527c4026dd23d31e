-- Retention: whether a large tree is looked through under this number, or goes; until this transaction ends, that stays so.
-- Primary key. 1 root, 2 rows or payloads, 3 the number of the look.
select coalesce(l.look = ?3, 0), l.goes from intendant_retention_large l where l.intent_id = ?1 and l.what = ?2
