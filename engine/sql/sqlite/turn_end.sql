-- Housekeeping: the duty is done, by whoever has had the turn. 1 duty, 2 session.
update intendant_turn set session_id = null where duty = ?1 and session_id = ?2
