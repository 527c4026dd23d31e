-- Heartbeat. Returns how often the session has been told to stop something. 1 session, 2 free slots, 3 now.
update intendant_session set beat = beat + 1, beat_at = ?3, free = ?2 where id = ?1 returning cancels
