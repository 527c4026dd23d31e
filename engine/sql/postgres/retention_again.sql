-- Retention: roots that had to stay and were not looked at for a while, at most 2 of them; with what came of each by now, if it is at
-- rest. Index retention_kept_look; primary keys. 1 a while (microseconds), 2 at most.
select k.intent_id, k.what, o.kind, o.state
  from (select d.intent_id, d.what, d.looked_at from intendant.retention_kept d
         where d.looked_at <= (select clock_timestamp() - $1::bigint * interval '1 microsecond')
         order by d.looked_at, d.intent_id limit $2::bigint) k
  left join intendant.outcome o on o.intent_id = k.intent_id
 order by k.looked_at, k.intent_id
