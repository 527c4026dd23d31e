-- Subscriptions: what came to its end from another one on and until a time, the oldest first; of these kinds in these states, by the
-- index intendant_outcome_finished. 1 kind, state; 2 microseconds and 3 intent from where on, 4 microseconds until when, 5 how many.
select o.intent_id, o.finished_at, o.account
  from jsonb_each(?1) w
       join intendant_outcome o on o.intent_id in (
         select e.intent_id from intendant_outcome e
          where e.kind = w.value ->> 0 and e.state = w.value ->> 1 and (e.finished_at, e.intent_id) >= (?2, ?3)
            and e.finished_at <= ?4
          order by e.finished_at, e.intent_id limit ?5
       )
 order by o.finished_at, o.intent_id limit ?5
