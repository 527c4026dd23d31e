-- Reap and close: the slots that a session has go back to their queues. Primary keys; locks the queues, sorted, before anything
-- but the session. 1 session.
with had as (
  select s.queue, s.held from intendant.slot s where s.session_id = $1::uuid
), locked as (
  select q.name from intendant.queue q join had on had.queue = q.name order by q.name for update of q
), gone as (
  delete from intendant.slot s using had where s.session_id = $1::uuid and s.queue = had.queue
)
update intendant.queue q set lent = q.lent - had.held from had, locked where q.name = had.queue and locked.name = q.name
