-- Finish: intents that succeeded. The primary key lets it happen once: a second time is an error, and the tick is written
-- again with `outcome_insert`. 1–7 intent, kind, account, requested, started, output, plan.
insert into intendant.outcome (intent_id, kind, account, state, requested_at, started_at, finished_at, output, plan_hash)
select n.intent_id, n.kind, n.account, 'succeeded', t.requested_at, t.started_at,
       greatest(clock_timestamp(), t.started_at), n.output::json, n.plan_hash
  from unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::text[])
       as n (intent_id, kind, account, requested_us, started_us, output, plan_hash)
       cross join lateral (
         select to_timestamp(n.requested_us / 1000000.0) as requested_at,
                to_timestamp(greatest(n.started_us, n.requested_us) / 1000000.0) as started_at
       ) t
