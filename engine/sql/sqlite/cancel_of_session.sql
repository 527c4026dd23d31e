-- Tick, when its fence says that something is to be stopped: which of the session's tasks, and whose they are: intents, and
-- steps that it runs for others, unless they take back. The session's leases, and primary keys for each of their tasks, in tables that are nearly
-- empty. 1 session.
with task (id) as materialized (
  select t.value from intendant_lease l, jsonb_each(l.tasks) t where l.session_id = ?1
)
select t.id, c.intent_id, c.actor, c.reason, c.goal
  from task t join intendant_cancel c on c.intent_id = t.id
 where not exists (select 1 from intendant_outcome o where o.intent_id = t.id)
union all
select t.id, c.intent_id, c.actor, c.reason, c.goal
  from task t join intendant_routed r on r.task_id = t.id join intendant_cancel c on c.intent_id = r.intent_id
 where r.step not like 'undo(%'
