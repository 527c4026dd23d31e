-- Retention: the next that finished long enough ago, of one kind and state, in the order of their finish, behind what was looked
-- at before; whether each is a root. Index intendant_outcome_finished; primary keys.
-- 1 kind, 2 state, 3 rows or payloads, 4 kept for (microseconds), 5 at most, 6 now.
select o.intent_id, o.finished_at, i.parent_id is null
  from intendant_outcome o indexed by intendant_outcome_finished
  left join intendant_intent i on i.id = o.intent_id
 where o.kind = ?1 and o.state = ?2
   and (o.finished_at, o.intent_id) >
       (coalesce((select c.finished_at from intendant_retention_cursor c
                  where c.kind = ?1 and c.state = ?2 and c.what = ?3),
                 -9223372036854775807),
        coalesce((select c.intent_id from intendant_retention_cursor c
                  where c.kind = ?1 and c.state = ?2 and c.what = ?3),
                 ''))
   and o.finished_at <= ?6 - ?4
 order by o.finished_at, o.intent_id limit ?5
