-- Request: intents and their resources, leased at once to a worker of the same process instead of standing in *ready*.
-- The reference to the session is what refuses it when the session is dead; it takes no lock that a tick waits for.
-- 1–18 the intents, 19–21 their resources, 22 lease, 23 session.
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
  returning id, requested_at
), resources as (
  insert into intendant.resource (intent_id, resource, mode)
  select * from unnest($19::uuid[], $20::text[], $21::text[])
), leased as (
  insert into intendant.lease (id, session_id, claimed_at, tasks)
  values ($22::uuid, $23::uuid, clock_timestamp(), $1::uuid[])
  returning claimed_at
)
select new.id, new.requested_at, leased.claimed_at from new cross join leased
