-- Retention: locks the outcomes of these intents, sorted, so that nobody resumes them or takes them back meanwhile; returns those
-- that still are as they were found, and whether they have lost their payloads. Primary key. 1 intents, 2 state, 3 kept for (microseconds).
select o.intent_id, o.payload_removed_at is not null from intendant.outcome o
 where o.intent_id = any ($1::uuid[]) and o.state = $2::text and o.finished_at <= clock_timestamp() - $3::bigint * interval '1 microsecond'
 order by o.intent_id for update
