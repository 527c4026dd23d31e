-- Heartbeat: everybody, to see who is silent and who is idle.
select id, worker, host, lock_file, lease_ms, beat, free from intendant_session
