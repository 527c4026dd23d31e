-- Tick, after `slot_lock`, and idle worker: which sessions have slots of limited queues, or wait for some, and since when. Walks the
-- table, which has a row for each session and limited queue. 1 queues.
select queue, session_id, held, hungry_at from intendant.slot
 where queue = any ($1::text[]) and (held > 0 or hungry_at is not null)
