-- Schedules, for people, each with how many live sessions declare it as it is, and the latest of its ticks. Walks the table,
-- which is small; of the ticks the primary key, backwards.
select s.name, s.kind, s.cron, s.zone, s.every_us, s.starts_at, s.catch_up, s.catch_up_limit::bigint, s.overlap, s.revision::bigint,
       s.declared_by, s.last_at, s.next_at, s.declared_at, s.paused_at, s.paused_by, s.pause_reason,
       (select count(*) from intendant.session_schedule d where d.schedule = s.name and d.revision = s.revision),
       t.schedule, t.at, t.sort = 'hand', t.state, t.intent_id, t.error, t.count::bigint, t.since, t.decided_at, t.worker,
       t.asked_by, t.reason
  from intendant.schedule s
  left join lateral (
    select * from intendant.schedule_tick t where t.schedule = s.name order by t.at desc, t.sort desc limit 1
  ) t on true
 order by s.name
