-- Schedule: what came of ticks long ago goes, a few with each new one. Primary key. 1 schedule, 2 how old (microseconds), 3 how
-- many.
delete from intendant.schedule_tick t
 using (select o.at, o.sort from intendant.schedule_tick o
         where o.schedule = $1::text and o.at < clock_timestamp() - $2::bigint * interval '1 microsecond' and o.state <> 'asked'
         order by o.at limit $3::bigint) o
 where t.schedule = $1::text and t.at = o.at and t.sort = o.sort
