-- Finish: the primary key lets it happen once; returns those for which it did now.
-- 1–11 intent, kind, account, state, requested, started, output, reason, error, step, plan.
insert into intendant.outcome (intent_id, kind, account, state, requested_at, started_at, finished_at, output, reason,
                               error, step, plan_hash)
select n.intent_id, n.kind, n.account, n.state, t.requested_at, t.started_at,
       greatest(clock_timestamp(), t.started_at), n.output::json, n.reason, n.error, n.step, n.plan_hash
  from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[], $8::text[],
              $9::text[], $10::text[], $11::text[])
       as n (intent_id, kind, account, state, requested_us, started_us, output, reason, error, step, plan_hash)
       cross join lateral (
         select to_timestamp(n.requested_us / 1000000.0) as requested_at,
                to_timestamp(greatest(n.started_us, n.requested_us) / 1000000.0) as started_at
       ) t
on conflict (intent_id) do nothing
returning intent_id
