-- Cancel: locks the sessions that hold what is to be stopped, in one order, and tells them: their next tick, which waits
-- for this transaction, sees that the number has grown. Returns those that are still there. 1 sessions.
with held as (
  select id from intendant.session where id = any ($1::uuid[]) order by id for no key update
)
update intendant.session s set cancels = s.cancels + 1 from held h where s.id = h.id
returning s.id
