-- Request: intents and their resources, leased at once to a worker of the same process instead of standing in *ready*.
-- The reference to the session is what refuses it when the session is dead; it takes no lock that a tick waits for.
-- 1–17 the intents, 18–20 their resources, 21 lease, 22 session.
with new as (
  insert into intendant.intent (id, kind, queue, account, input, position, priority, locks, release_on_failure,
                                requested_at, run_at, requested_by, parent_id, parent_step, root_id, depth,
                                correlation_id)
  select n.id, n.kind, n.queue, n.account, n.input::json,
         (extract(epoch from t.now) * 1000000)::bigint - n.ahead_us, n.priority, n.locks, n.release,
         t.now, coalesce(to_timestamp(n.start_at / 1000000.0), t.now + n.start_in * interval '1 microsecond'),
         n.requested_by, n.parent_id, n.parent_step, n.root_id, n.depth, n.correlation_id
    from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::boolean[],
                $9::boolean[], $10::bigint[], $11::bigint[], $12::text[], $13::uuid[], $14::text[], $15::uuid[],
                $16::bigint[], $17::text[])
         as n (id, kind, queue, account, input, priority, ahead_us, locks, release, start_at, start_in, requested_by,
               parent_id, parent_step, root_id, depth, correlation_id),
         (select clock_timestamp() as now) t
  returning id, requested_at
), resources as (
  insert into intendant.resource (intent_id, resource, mode)
  select * from unnest($18::uuid[], $19::text[], $20::text[])
), leased as (
  insert into intendant.lease (id, session_id, claimed_at, tasks)
  values ($21::uuid, $22::uuid, clock_timestamp(), $1::uuid[])
  returning claimed_at
)
select new.id, new.requested_at, leased.claimed_at from new cross join leased
