-- Subscriptions: events of all intents after one of them, the oldest first, by the index intendant_event_at. 1 microseconds, 2 intent
-- and 3 number to go on after, 4 how many.
select seq, at, actor, verb, reason, detail, intent_id from intendant_event
 where (at, intent_id, seq) > (?1, ?2, ?3) order by at, intent_id, seq limit ?4
