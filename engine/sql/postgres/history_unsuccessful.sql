-- History, newest first: all that failed or were cancelled. Index outcome_unsuccessful, backwards, so that the cost
-- grows with neither the history nor what succeeded. 1 limit, 2 before this id, 3 kind, 4 state.
select i.id, i.kind, i.queue, i.account, i.input, i.priority::bigint, i.requested_by, i.requested_at, i.run_at, i.parent_id,
       i.parent_step, i.root_id, i.correlation_id, o.state, o.started_at, o.finished_at, o.output, o.reason, o.error,
       o.step, o.plan_hash, null::text, null::timestamptz
  from (select o.intent_id, o.state, o.started_at, o.finished_at, o.output, o.reason, o.error, o.step, o.plan_hash
          from intendant.outcome o
         where o.state = $4::text and o.state <> 'succeeded' and ($2::uuid is null or o.intent_id < $2::uuid)
           and ($3::text is null or o.kind = $3::text)
         order by o.intent_id desc limit $1::bigint) o
  join intendant.intent i on i.id = o.intent_id
 order by o.intent_id desc
