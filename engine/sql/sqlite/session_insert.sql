-- A worker's life begins. 1 id, 2 worker, 3 host, 4 pid, 5 build, 6 lock file, 7 lease, 8 free slots, 9 now.
insert into intendant_session (id, worker, host, pid, build, lock_file, lease_ms, free, started_at, beat_at)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9)
