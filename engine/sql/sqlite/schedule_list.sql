-- Schedules, for people, each with how many live sessions declare it as it is, and the latest of its ticks. Walks the table,
-- which is small; of the ticks the primary key, backwards.
select s.name, s.kind, s.cron, s.zone, s.every_us, s.starts_at, s.catch_up, s.catch_up_limit, s.overlap, s.revision,
       s.declared_by, s.last_at, s.next_at, s.declared_at, s.paused_at, s.paused_by, s.pause_reason,
       (select count(*) from intendant_session_schedule d where d.schedule = s.name and d.revision = s.revision),
       t.schedule, t.at, t.sort = 'hand', t.state, t.intent_id, t.error, t.count, t.since, t.decided_at, t.worker,
       t.asked_by, t.reason
  from intendant_schedule s
  left join intendant_schedule_tick t
    on t.schedule = s.name
   and (t.at, t.sort) = (select l.at, l.sort from intendant_schedule_tick l
                          where l.schedule = s.name order by l.at desc, l.sort desc limit 1)
 order by s.name
