-- Schedule: what the database says of these schedules, the time, and the first tick that a person has asked for. Primary key,
-- index schedule_tick_asked. 1 names, 2 now.
select s.name, s.kind, s.cron, s.zone, s.every_us, s.starts_at, s.catch_up, s.catch_up_limit, s.overlap, s.revision,
       s.declared_by, s.last_at, s.next_at, s.paused_at is not null, s.version, ?2, a.at, a.asked_by
  from jsonb_each(?1) n
  join intendant_schedule s on s.name = n.value
  left join intendant_schedule_tick a
    on a.schedule = s.name and a.sort = 'hand'
   and a.at = (select min(t.at) from intendant_schedule_tick t where t.schedule = s.name and t.state = 'asked')
