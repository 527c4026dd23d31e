-- Idle worker that was denied slots of limited queues: how many each may lend, and has lent. Primary key; locks nothing. 1 queues.
select name, slots, lent from intendant.queue where name = any ($1::text[])
