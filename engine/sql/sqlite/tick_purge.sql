-- Schedule: what came of ticks long ago goes, a few with each new one. Primary key. 1 schedule, 2 how old (microseconds), 3 how
-- many, 4 now.
delete from intendant_schedule_tick
 where schedule = ?1 and (at, sort) in (
   select o.at, o.sort from intendant_schedule_tick o
    where o.schedule = ?1 and o.at < ?4 - ?2 and o.state <> 'asked' order by o.at limit ?3)
