-- Schedule: takes what a person has asked for and nobody has carried out, by whoever comes first. Primary key.
-- 1 schedule, 2 when it was asked for (microseconds since 1970).
delete from intendant_schedule_tick where schedule = ?1 and at = ?2 and sort = 'hand' and state = 'asked'
returning asked_by, reason
