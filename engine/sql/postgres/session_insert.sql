-- A worker's life begins. 1 id, 2 worker, 3 host, 4 pid, 5 build, 6 lock file, 7 lease, 8 free slots.
insert into intendant.session (id, worker, host, pid, build, lock_file, lease_ms, free, started_at, beat_at)
values ($1::uuid, $2::text, $3::text, $4::bigint, $5::text, $6::text, $7::bigint, $8::bigint, clock_timestamp(),
        clock_timestamp())
