-- Tick, of a worker that takes or gives back slots of limited queues, or wants permits of queues with a rate: how many slots each
-- may lend, and has lent; its rate, until when what it has permitted is paid off, the time, and the limit
-- of each of its partitions. Primary key. 1 queues, 2 now.
select name, slots, lent, rate_steps, rate_period_ms, rate_burst, rate_tat, ?2, partition_limit
  from intendant_queue where name in (select n.value from jsonb_each(?1) n)
