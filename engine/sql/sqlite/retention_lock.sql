-- Retention: those of these intents that still are as they were found, and whether they have lost their payloads; the transaction has the
-- writer. Primary key. 1 intents, 2 state, 3 kept for (microseconds), 4 now.
select o.intent_id, o.payload_removed_at is not null from intendant_outcome o
 where o.intent_id in (select n.value from jsonb_each(?1) n) and o.state = ?2 and o.finished_at <= ?4 - ?3
 order by o.intent_id
