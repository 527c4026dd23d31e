-- Claim: this session tries the kind; the next one does after a longer while. The row is locked, by `probe_lock`; primary key.
-- 1 kind, 2 until the next try (microseconds).
update intendant.poison set until = clock_timestamp() + $2::bigint * interval '1 microsecond' where kind = $1::text
