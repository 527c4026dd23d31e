-- Look: schedules whose next tick nobody has decided in time, and whether a live session declares them as they are. Walks the table,
-- which is small. 1 patience (microseconds), 2 how many, 3 now.
select s.name, s.kind, s.next_at, ?3 - max(s.next_at, 0), s.revision,
       exists (select 1 from intendant_session_schedule d where d.schedule = s.name and d.revision = s.revision),
       exists (select 1 from intendant_session_schedule d where d.schedule = s.name)
  from intendant_schedule s
 where s.paused_at is null and s.next_at < ?3 - ?1
 order by s.next_at limit ?2
