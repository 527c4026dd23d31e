-- Housekeeping: what was resolved long ago goes. Index alert_resolved. 1 how long it is kept (microseconds), 2 how many.
delete from intendant.alert
 where id = any (array (
   select id from intendant.alert where resolved_at <= clock_timestamp() - $1::bigint * interval '1 microsecond'
    order by resolved_at limit $2::bigint))
