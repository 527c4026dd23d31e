-- Tick, of a worker that takes or gives back slots of limited queues: how many each may lend, has lent, and how many of them
-- this session has. Primary keys; locks the queues, sorted, until the commit. 1 session, 2 queues.
select q.name, q.slots, q.lent, coalesce(s.held, 0)
  from intendant.queue q
  left join intendant.slot s on s.session_id = $1::uuid and s.queue = q.name
 where q.name = any ($2::text[])
 order by q.name
   for update of q
