-- Tick, when its fence says that something is to be stopped: which of the session's tasks. The session's leases, and a
-- primary key for each of their tasks, in a table that is nearly empty. 1 session.
select t.id, c.actor, c.reason, c.goal
  from intendant.lease l
  cross join lateral unnest(l.tasks) as t (id)
  join intendant.cancel c on c.intent_id = t.id
 where l.session_id = $1::uuid and not exists (select from intendant.outcome o where o.intent_id = t.id)
