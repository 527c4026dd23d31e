-- Claim: the intents themselves. Primary key; a join would tempt the planner into a scan.
select id, kind, account, input, requested_at, requested_by, parent_id, root_id, correlation_id,
       release_on_failure, locks, depth::bigint, traceparent
  from intendant.intent where id = any ($1::uuid[])
