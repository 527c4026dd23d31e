-- Retention: of which kind and in which state the root of a large tree was. Primary key. 1 root, 2 rows or payloads.
select l.kind, l.state from intendant_retention_large l where l.intent_id = ?1 and l.what = ?2
