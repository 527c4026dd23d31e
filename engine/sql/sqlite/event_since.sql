-- Subscriptions: events of all intents after one of them and until a time, the oldest first, by the index intendant_event_at; with their
-- intents' kinds and accounts. 1 microseconds, 2 intent and 3 number to go on after, 4 microseconds until when, 5 how many.
select e.seq, e.at, e.actor, e.verb, e.reason, e.detail, e.intent_id, i.kind, i.account
  from (
    select * from intendant_event where (at, intent_id, seq) > (?1, ?2, ?3) and at <= ?4 order by at, intent_id, seq limit ?5
  ) e left join intendant_intent i on i.id = e.intent_id
 order by e.at, e.intent_id, e.seq
