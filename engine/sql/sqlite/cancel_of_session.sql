-- Tick, when its fence says that something is to be stopped: which of the session's tasks. The session's leases, and a
-- primary key for each of their tasks, in a table that is nearly empty. 1 session.
select t.value, c.actor, c.reason, c.goal
  from intendant_lease l, jsonb_each(l.tasks) t
  join intendant_cancel c on c.intent_id = t.value
 where l.session_id = ?1 and not exists (select 1 from intendant_outcome o where o.intent_id = t.value)
