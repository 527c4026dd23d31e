-- Retention: the large tree behind this one, if there is any. Primary key. 1 root, 2 rows or payloads (null: from the first).
select l.intent_id, l.what, l.kind, l.state, l.goes from intendant.retention_large l
 where $1::uuid is null or (l.intent_id, l.what) > ($1::uuid, $2::text) order by l.intent_id, l.what limit 1
