-- Request, before anything else: of these queues, those that have a cap, with for how many there is room. It changes nothing, and is a
-- statement that writes all the same: a transaction of the caller's that began by reading could not write any more once somebody
-- else has. Primary key. 1 queues.
update intendant_backlog set room = room where queue in (select n.value from jsonb_each(?1) n) returning queue, cap, room
