-- Retention: the large tree behind this one, if there is any. Primary key. 1 root, 2 rows or payloads (null: from the first).
select l.intent_id, l.what, l.kind, l.state, l.goes from intendant_retention_large l
 where (l.intent_id, l.what) > (coalesce(?1, ''), coalesce(?2, '')) order by l.intent_id, l.what limit 1
