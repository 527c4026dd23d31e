-- Schedule: the code has a newer declaration of one that nobody has changed since it was read. Its ticks count from now on.
-- Primary key. Parameters as in `schedule_insert`; 14 version.
update intendant_schedule
   set kind = ?2, cron = ?3, zone = ?4, every_us = ?5, starts_at = ?6, catch_up = ?7, catch_up_limit = ?8, overlap = ?9,
       revision = ?10, declared_by = ?11, declared_at = ?12, last_at = max(last_at, ?12), next_at = ?13, version = version + 1
 where name = ?1 and version = ?14 and revision < ?10
returning name
