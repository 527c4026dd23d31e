-- Schedule: the code has a newer declaration of one that nobody has changed since it was read. Its ticks count from now on.
-- Primary key. Parameters as in `schedule_insert`; 14 version.
update intendant.schedule
   set kind = $2::text, cron = $3::text, zone = $4::text, every_us = $5::bigint,
       starts_at = 'epoch'::timestamptz + $6::bigint * interval '1 microsecond', catch_up = $7::text, catch_up_limit = $8::bigint,
       overlap = $9::text, revision = $10::bigint, declared_by = $11::text,
       declared_at = 'epoch'::timestamptz + $12::bigint * interval '1 microsecond',
       last_at = greatest(last_at, 'epoch'::timestamptz + $12::bigint * interval '1 microsecond'),
       next_at = 'epoch'::timestamptz + $13::bigint * interval '1 microsecond', version = version + 1
 where name = $1::text and version = $14::bigint and revision < $10::bigint
returning name
