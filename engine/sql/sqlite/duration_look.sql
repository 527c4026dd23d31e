-- Housekeeping: how long a step took in the latest intents of its kind (microseconds), as far as a bounded look back finds
-- any. Primary keys. 1 kind, 2 step (with `[` at its end: any element of that map), 3 how far back, 4 how many.
select max(s.finished_at, 0) - max(s.started_at, 0)
  from (select id, kind from intendant_intent order by id desc limit ?3) i
  join intendant_step s on s.intent_id = i.id
 where i.kind = ?1 and s.state = 'succeeded'
   and (s.name = ?2 or (substr(?2, -1) = '[' and substr(s.name, 1, length(?2)) = ?2))
 order by i.id desc limit ?4
