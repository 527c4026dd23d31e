-- History, newest first: all that failed or were cancelled. Index intendant_outcome_unsuccessful, backwards, so that
-- the cost grows with neither the history nor what succeeded. 1 limit, 2 before this id, 3 kind, 4 state.
select i.id, i.kind, i.queue, i.account, i.input, i.priority, i.requested_by, i.requested_at, i.run_at, i.parent_id,
       i.parent_step, i.root_id, i.correlation_id, o.state, o.started_at, o.finished_at, o.output, o.reason, o.error,
       o.step, o.plan_hash, null, null
  from intendant_outcome o
  cross join intendant_intent i on i.id = o.intent_id
 where o.state = ?4 and o.state <> 'succeeded' and o.intent_id < coalesce(?2, '~')
   and (?3 is null or o.kind = ?3)
 order by o.intent_id desc limit ?1
