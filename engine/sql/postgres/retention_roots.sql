-- Retention: the next that finished long enough ago, of one kind and state, in the order of their finish, behind what was looked
-- at before; whether each is a root. Index outcome_finished; primary keys.
-- 1 kind, 2 state, 3 rows or payloads, 4 kept for (microseconds), 5 at most.
select o.intent_id, o.finished_at, i.parent_id is null
  from intendant.outcome o
  left join intendant.intent i on i.id = o.intent_id
 where o.kind = $1::text and o.state = $2::text
   and (o.finished_at, o.intent_id) >
       (coalesce((select c.finished_at from intendant.retention_cursor c
                  where c.kind = $1::text and c.state = $2::text and c.what = $3::text),
                 '-infinity'),
        coalesce((select c.intent_id from intendant.retention_cursor c
                  where c.kind = $1::text and c.state = $2::text and c.what = $3::text),
                 '00000000-0000-0000-0000-000000000000'))
   and o.finished_at <= (select clock_timestamp() - $4::bigint * interval '1 microsecond')
 order by o.finished_at, o.intent_id limit $5::bigint
