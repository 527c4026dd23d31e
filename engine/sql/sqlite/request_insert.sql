-- Request: the intents. Their resources and tasks follow (`request_resource`, `request_ready`, `request_parked`).
-- Now; then the rows.
with tick (now) as (values (?)),
n (id, kind, queue, account, input, priority, ahead_us, locks, release, start_at, start_in, requested_by, parent_id,
   parent_step, root_id, depth, correlation_id, traceparent) as (
  values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) /* more rows */
)
insert into intendant_intent (id, kind, queue, account, input, position, priority, locks, release_on_failure,
                              requested_at, run_at, requested_by, parent_id, parent_step, root_id, depth,
                              correlation_id, traceparent)
select n.id, n.kind, n.queue, n.account, n.input, tick.now - n.ahead_us, n.priority, n.locks, n.release, tick.now,
       coalesce(n.start_at, tick.now + n.start_in), n.requested_by, n.parent_id, n.parent_step, n.root_id, n.depth,
       n.correlation_id, n.traceparent
  from n, tick where n.id is not null
