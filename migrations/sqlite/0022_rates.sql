-- Rates of queues: how many attempts at its steps may begin within a time, across all workers; and how many at once after a pause.
-- The comments of the other dialect hold here too.
alter table intendant_queue add column rate_steps integer check (rate_steps > 0);
alter table intendant_queue add column rate_period_ms integer check (rate_period_ms > 0);
alter table intendant_queue add column rate_burst integer check (rate_burst > 0)
  check ((rate_steps is null) = (rate_period_ms is null) and (rate_steps is null) = (rate_burst is null));
alter table intendant_queue add column rate_tat integer;

drop view intendant_queues;
create view intendant_queues as
  select name, strftime('%Y-%m-%dT%H:%M:%fZ', paused_at / 1e6, 'unixepoch') as paused_at, paused_by, pause_reason, slots, lent,
         rate_steps, rate_period_ms, rate_burst
    from intendant_queue;
