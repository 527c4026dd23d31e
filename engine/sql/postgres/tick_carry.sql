-- Schedule: takes what a person has asked for and nobody has carried out, by whoever comes first. Primary key; locks the row.
-- 1 schedule, 2 when it was asked for (microseconds since 1970).
delete from intendant.schedule_tick
 where schedule = $1::text and at = 'epoch'::timestamptz + $2::bigint * interval '1 microsecond' and sort = 'hand'
   and state = 'asked'
returning asked_by, reason
