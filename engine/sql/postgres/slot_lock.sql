-- Tick, of a worker that takes or gives back slots of limited queues: how many each may lend, and has lent. Who has them is read
-- by the next statement, since this one sees what was there before it waited. Primary key; locks the queues, sorted, until the
-- commit. 1 queues.
select name, slots, lent, partition_limit from intendant.queue where name = any ($1::text[]) order by name for update
