-- Idle worker that was denied slots of limited queues, or waits for permits of queues with a rate: how many slots each may lend,
-- and has lent; its rate, until when what it has permitted is paid off, and the time. Primary key; locks nothing. 1 queues.
select name, slots, lent, rate_steps, rate_period_ms, rate_burst, rate_tat, clock_timestamp()
  from intendant.queue where name = any ($1::text[])
