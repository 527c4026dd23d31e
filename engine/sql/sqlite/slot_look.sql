-- Idle worker that was denied slots of limited queues: how many each may lend, and has lent. Primary key. 1 queues.
select name, slots, lent from intendant_queue where name in (select n.value from jsonb_each(?1) n)
