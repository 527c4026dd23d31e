-- Reap: the dead session, if its heartbeat is still where it was seen (-1: whatever it is). Waits for a tick of it that
-- is on its way to the disk. 1 session, 2 beat.
select worker, build, leaving, host, beat_at from intendant.session where id = $1::uuid and (beat = $2::bigint or $2::bigint = -1) for update
