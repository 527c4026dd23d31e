-- Discard: the outcome of failed intents whose failures have been taken. 1–2 intent, by whom and why.
insert into intendant.outcome (intent_id, kind, account, state, requested_at, started_at, finished_at, error, plan_hash)
select i.id, i.kind, i.account, 'cancelled', i.requested_at, s.started_at,
       greatest(clock_timestamp(), s.started_at, i.requested_at), n.error, s.plan_hash
  from unnest($1::uuid[], $2::text[]) as n (intent_id, error)
  join intendant.intent i on i.id = n.intent_id
  left join intendant.started s on s.intent_id = i.id
