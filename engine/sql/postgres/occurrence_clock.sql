-- Subscriptions: what time it is, the number of the oldest transaction that is writing, and the one that the next will have. Without
-- any, both are the same. The time is from before the numbers were read.
select (extract(epoch from statement_timestamp()) * 1000000)::bigint,
       pg_snapshot_xmin(pg_current_snapshot())::text::bigint, pg_snapshot_xmax(pg_current_snapshot())::text::bigint
