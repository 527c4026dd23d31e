-- Subscriptions: events of all intents after one of them, the oldest first, by the index event_at. 1 microseconds, 2 intent and
-- 3 number to go on after, 4 how many.
select seq::bigint, at, actor, verb, reason, detail, intent_id from intendant.event
 where (at, intent_id, seq) > (to_timestamp($1::bigint / 1000000.0), $2::uuid, $3::bigint)
 order by at, intent_id, seq limit $4::bigint
