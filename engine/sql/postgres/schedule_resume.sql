-- Schedule: an operator resumes one that nobody has changed since it was read. Primary key; locks the row.
-- 1 name, 2 version, 3 from when on its ticks count, 4 the next one (microseconds since 1970).
update intendant.schedule
   set paused_at = null, paused_by = null, pause_reason = null,
       last_at = 'epoch'::timestamptz + $3::bigint * interval '1 microsecond',
       next_at = 'epoch'::timestamptz + $4::bigint * interval '1 microsecond', version = version + 1
 where name = $1::text and version = $2::bigint and paused_at is not null
returning name
