-- Heartbeat: touches no key column, so that it does not wait for whoever refers to the row. Returns how often the session
-- has been told to stop something. 1 session, 2 free slots.
update intendant.session set beat = beat + 1, beat_at = clock_timestamp(), free = $2::bigint where id = $1::uuid
returning cancels
