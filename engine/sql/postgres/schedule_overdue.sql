-- Look: schedules whose next tick nobody has decided in time, and whether a live session declares them as they are. Walks the table,
-- which is small. 1 patience (microseconds), 2 how many.
select s.name, s.kind, s.next_at, (extract(epoch from clock_timestamp() - s.next_at) * 1000000)::bigint, s.revision::bigint,
       exists (select from intendant.session_schedule d where d.schedule = s.name and d.revision = s.revision),
       exists (select from intendant.session_schedule d where d.schedule = s.name)
  from intendant.schedule s
 where s.paused_at is null and s.next_at < clock_timestamp() - $1::bigint * interval '1 microsecond'
 order by s.next_at limit $2::bigint
