-- Housekeeping: what was resolved long ago goes. Index alert_resolved. 1 how long it is kept (microseconds), 2 how many,
-- 3 now.
delete from intendant_alert
 where id in (select id from intendant_alert where resolved_at is not null and resolved_at <= ?3 - ?1
               order by resolved_at limit ?2)
