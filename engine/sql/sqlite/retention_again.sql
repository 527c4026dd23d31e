-- Retention: roots that had to stay and were not looked at for a while, at most 2 of them, from now on looked at; with what came of
-- each by now, if it is at rest. Index intendant_retention_kept_look; primary keys. 1 a while (microseconds), 2 at most, 3 now.
update intendant_retention_kept set looked_at = ?3
 where (intent_id, what) in (
       select d.intent_id, d.what from intendant_retention_kept d
        where d.looked_at <= ?3 - ?1 order by d.looked_at, d.intent_id limit ?2)
returning intent_id, what, (select o.kind from intendant_outcome o where o.intent_id = intendant_retention_kept.intent_id),
          (select o.state from intendant_outcome o where o.intent_id = intendant_retention_kept.intent_id)
