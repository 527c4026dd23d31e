-- Request: intents, their resources, and their tasks, in one round trip. Takes no lock that a tick waits for (P5).
-- 1–18 the intents, 19–21 their resources.
with new as (
  insert into intendant.intent (id, kind, queue, account, input, position, priority, locks, release_on_failure,
                                requested_at, run_at, requested_by, parent_id, parent_step, root_id, depth,
                                correlation_id, traceparent)
  select n.id, n.kind, n.queue, n.account, n.input::json,
         (extract(epoch from t.now) * 1000000)::bigint - n.ahead_us, n.priority, n.locks, n.release,
         t.now, coalesce(to_timestamp(n.start_at / 1000000.0), t.now + n.start_in * interval '1 microsecond'),
         n.requested_by, n.parent_id, n.parent_step, n.root_id, n.depth, n.correlation_id, n.traceparent
    from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::boolean[],
                $9::boolean[], $10::bigint[], $11::bigint[], $12::text[], $13::uuid[], $14::text[], $15::uuid[],
                $16::bigint[], $17::text[], $18::text[])
         as n (id, kind, queue, account, input, priority, ahead_us, locks, release, start_at, start_in, requested_by,
               parent_id, parent_step, root_id, depth, correlation_id, traceparent),
         (select clock_timestamp() as now) t
  returning id, queue, kind, position, locks, run_at, requested_at
), resources as (
  insert into intendant.resource (intent_id, resource, mode)
  select * from unnest($19::uuid[], $20::text[], $21::text[])
), later as (
  insert into intendant.parked (intent_id, reason, due_at)
  select id, 'start time', run_at from new where run_at > requested_at
)
insert into intendant.ready (queue, kind, position, intent_id, started, locks)
select queue, kind, position, id, false, locks from new where run_at is null or run_at <= requested_at
