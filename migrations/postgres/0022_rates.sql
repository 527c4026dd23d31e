-- Rates of queues: how many attempts at its steps may begin within a time, across all workers; and how many at once after a pause.
-- A worker of before begins them at any rate.
alter table intendant.queue
  add column rate_steps bigint check (rate_steps > 0),
  add column rate_period_ms bigint check (rate_period_ms > 0),
  add column rate_burst bigint check (rate_burst > 0),
  -- The theoretical arrival time: until when what was permitted is paid off.
  add column rate_tat timestamptz,
  add constraint queue_rate_whole
    check ((rate_steps is null) = (rate_period_ms is null) and (rate_steps is null) = (rate_burst is null));

create or replace view intendant.queues as
  select name, paused_at, paused_by, pause_reason, slots, lent, rate_steps, rate_period_ms, rate_burst from intendant.queue;
