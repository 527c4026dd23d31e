-- Housekeeping: how long a step took in the latest intents of its kind (microseconds), as far as a bounded look back finds
-- any. Primary keys. 1 kind, 2 step (with `[` at its end: any element of that map), 3 how far back, 4 how many.
select (extract(epoch from s.finished_at - s.started_at) * 1000000)::bigint
  from (select id, kind from intendant.intent order by id desc limit $3::bigint) i
  join intendant.step s on s.intent_id = i.id
 where i.kind = $1::text and s.state = 'succeeded'
   and (s.name = $2::text or (right($2::text, 1) = '[' and starts_with(s.name, $2::text)))
 order by i.id desc limit $4::bigint
