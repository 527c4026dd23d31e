-- Tick, of a worker that takes or gives back slots of limited queues, or wants permits of queues with a rate: how many slots each
-- may lend, and has lent; its rate, until when what it has permitted is paid off, the time, of after the wait for its
-- lock, and the limit of each of its partitions.
-- Who has slots is read by the next statement, since this one sees what was there before it waited. Primary key; locks the
-- queues, sorted, until the commit. 1 queues.
with locked as materialized (
  select name, slots, lent, rate_steps, rate_period_ms, rate_burst, rate_tat, partition_limit
    from intendant.queue where name = any ($1::text[]) order by name for update
)
select name, slots, lent, rate_steps, rate_period_ms, rate_burst, rate_tat, clock_timestamp(), partition_limit from locked
