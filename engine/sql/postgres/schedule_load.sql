-- Schedule: what the database says of these schedules, the time, and the first tick that a person has asked for. Primary key,
-- index schedule_tick_asked. 1 names.
select s.name, s.kind, s.cron, s.zone, s.every_us, s.starts_at, s.catch_up, s.catch_up_limit::bigint, s.overlap, s.revision::bigint,
       s.declared_by, s.last_at, s.next_at, s.paused_at is not null, s.version, clock_timestamp(), a.at, a.asked_by
  from intendant.schedule s
  left join lateral (
    select t.at, t.asked_by from intendant.schedule_tick t
     where t.schedule = s.name and t.state = 'asked' order by t.at limit 1
  ) a on true
 where s.name = any ($1::text[])
