-- Tick, of a worker that takes or gives back slots of limited queues: how many each may lend, has lent, and how many of them
-- this session has. Primary keys. 1 session, 2 queues.
select q.name, q.slots, q.lent, coalesce(s.held, 0)
  from jsonb_each(?2) n
  join intendant_queue q on q.name = n.value
  left join intendant_slot s on s.session_id = ?1 and s.queue = q.name
