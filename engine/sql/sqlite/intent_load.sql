-- Claim: the intents themselves. Primary key.
with n (id) as (values (?) /* more rows */)
select i.id, i.kind, i.account, i.input, i.requested_at, i.requested_by, i.parent_id, i.root_id, i.correlation_id,
       i.release_on_failure, i.locks, i.depth, i.traceparent
  from n join intendant_intent i on i.id = n.id
