-- Why: what people have said of a queue: who has paused it, why and when; how many of its steps may run at once, and do; how
-- many may begin within a time, and until when what it has permitted is paid off. Primary key. 1 name.
select paused_by, pause_reason, paused_at, slots, lent, rate_steps, rate_period_ms, rate_burst, rate_tat, clock_timestamp()
  from intendant.queue where name = $1::text
