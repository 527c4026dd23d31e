-- Reap: the dead session, if its heartbeat is still where it was seen (-1: whatever it is). 1 session, 2 beat.
select worker, build, leaving, host, beat_at from intendant_session where id = ?1 and (beat = ?2 or ?2 = -1)
