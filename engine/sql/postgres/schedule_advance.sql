-- Schedule: its ticks up to one are decided, by whoever comes first: the row is locked, and who waited for it finds another
-- version. Primary key. 1 name, 2 version, 3 the last tick, 4 the next one (microseconds since 1970).
update intendant.schedule
   set last_at = 'epoch'::timestamptz + $3::bigint * interval '1 microsecond',
       next_at = 'epoch'::timestamptz + $4::bigint * interval '1 microsecond', version = version + 1
 where name = $1::text and version = $2::bigint and paused_at is null
returning name
