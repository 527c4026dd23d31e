-- Tick: these have failed, and are taken back as their kinds want it. Primary key. 1–3 intent, why, failure.
insert into intendant.cancel (intent_id, actor, reason, at, failure)
select n.intent_id, 'intendant', n.reason, clock_timestamp(), n.failure::json
  from unnest($1::uuid[], $2::text[], $3::text[]) as n (intent_id, reason, failure)
on conflict (intent_id) do nothing
returning intent_id
