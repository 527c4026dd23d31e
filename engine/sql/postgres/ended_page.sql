-- Subscriptions: what came to its end from another one on and until a time, the oldest first; of these kinds in these states, by the
-- index outcome_finished. 1 kinds, 2 states, 3 microseconds and 4 intent from where on, 5 microseconds until when, 6 how many.
select k.intent_id, (extract(epoch from k.finished_at) * 1000000)::bigint, o.account
  from (
    select e.intent_id, e.finished_at
      from unnest($1::text[], $2::text[]) as w (kind, state)
           cross join lateral (
             select x.intent_id, x.finished_at from intendant.outcome x
              where x.kind = w.kind and x.state = w.state
                and (x.finished_at, x.intent_id) >= (timestamptz 'epoch' + $3::bigint * interval '1 microsecond', $4::uuid)
                and x.finished_at <= timestamptz 'epoch' + $5::bigint * interval '1 microsecond'
              order by x.finished_at, x.intent_id limit $6::bigint
           ) e
     order by e.finished_at, e.intent_id limit $6::bigint
  ) k join intendant.outcome o on o.intent_id = k.intent_id
 order by k.finished_at, k.intent_id
