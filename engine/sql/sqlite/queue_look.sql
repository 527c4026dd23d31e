-- Idle worker that was denied slots of limited queues, or waits for permits of queues with a rate: how many slots each may lend,
-- and has lent; its rate, until when what it has permitted is paid off, and the time. Primary key. 1 queues, 2 now.
select name, slots, lent, rate_steps, rate_period_ms, rate_burst, rate_tat, ?2
  from intendant_queue where name in (select n.value from jsonb_each(?1) n)
