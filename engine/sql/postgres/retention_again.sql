-- Retention: roots that had to stay and were not looked at for a while, at most 2 of them, from now on looked at; with what came of
-- each by now, if it is at rest. Index retention_kept_look; primary keys. 1 a while (microseconds), 2 at most.
update intendant.retention_kept k set looked_at = clock_timestamp()
 where (intent_id, what) in (
       select d.intent_id, d.what from intendant.retention_kept d
        where d.looked_at <= (select clock_timestamp() - $1::bigint * interval '1 microsecond') order by d.looked_at, d.intent_id limit $2::bigint)
returning intent_id, what, (select o.kind from intendant.outcome o where o.intent_id = k.intent_id),
          (select o.state from intendant.outcome o where o.intent_id = k.intent_id)
