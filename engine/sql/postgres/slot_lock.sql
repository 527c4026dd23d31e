-- Tick, of a worker that takes or gives back slots of limited queues, or wants permits of queues with a rate: how many slots each
-- may lend, and has lent; its rate, until when what it has permitted is paid off, and the time, of after the wait for its lock.
-- Who has slots is read by the next statement, since this one sees what was there before it waited. Primary key; locks the
-- queues, sorted, until the commit. 1 queues.
with locked as materialized (
  select name, slots, lent, rate_steps, rate_period_ms, rate_burst, rate_tat
    from intendant.queue where name = any ($1::text[]) order by name for update
)
select name, slots, lent, rate_steps, rate_period_ms, rate_burst, rate_tat, clock_timestamp() from locked
