-- Reap and close: the slots that a session has go back to their queues, which `slot_hold` has locked. Primary keys. 1 session.
with gone as (
  delete from intendant.slot where session_id = $1::uuid returning queue, held
)
update intendant.queue q set lent = q.lent - gone.held from gone where q.name = gone.queue
