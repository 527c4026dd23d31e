-- Subscriptions: what came to its end after another one, the oldest first; of these kinds in these states, by the index
-- outcome_finished. 1 kinds, 2 states, 3 microseconds and 4 intent to go on after, 5 how many.
select e.intent_id, (extract(epoch from e.finished_at) * 1000000)::bigint, e.account
  from unnest($1::text[], $2::text[]) as w (kind, state)
       cross join lateral (
         select o.intent_id, o.finished_at, o.account from intendant.outcome o
          where o.kind = w.kind and o.state = w.state
            and (o.finished_at, o.intent_id) > (to_timestamp($3::bigint / 1000000.0), $4::uuid)
          order by o.finished_at, o.intent_id limit $5::bigint
       ) e
 order by e.finished_at, e.intent_id limit $5::bigint
