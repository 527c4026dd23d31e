-- Cancel: the outcome of intents of which nothing has begun, and whose tokens have been taken. 1–2 intent, by whom and why.
insert into intendant.outcome (intent_id, kind, account, state, requested_at, finished_at, error)
select i.id, i.kind, i.account, 'cancelled', i.requested_at, greatest(clock_timestamp(), i.requested_at), n.error
  from unnest($1::uuid[], $2::text[]) as n (intent_id, error) join intendant.intent i on i.id = n.intent_id
