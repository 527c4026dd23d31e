-- Tick, when its fence says that something is to be stopped: which of the session's tasks, and whose they are: intents, and
-- steps that it runs for others, unless they take back. The session's leases, and primary keys for each of their tasks, in tables that are nearly
-- empty. 1 session.
with task (id) as materialized (
  select t.id from intendant.lease l cross join lateral unnest(l.tasks) as t (id) where l.session_id = $1::uuid
)
select t.id, c.intent_id, c.actor, c.reason, c.goal
  from task t join intendant.cancel c on c.intent_id = t.id
 where not exists (select from intendant.outcome o where o.intent_id = t.id)
union all
select t.id, c.intent_id, c.actor, c.reason, c.goal
  from task t join intendant.routed r on r.task_id = t.id join intendant.cancel c on c.intent_id = r.intent_id
 where r.step not like 'undo(%'
