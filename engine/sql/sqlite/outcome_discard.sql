-- Discard: the outcome of failed intents whose failures have been taken. 1 intent, by whom and why; 2 now.
insert into intendant_outcome (intent_id, kind, account, state, requested_at, started_at, finished_at, error, plan_hash)
select i.id, i.kind, i.account, 'cancelled', i.requested_at, s.started_at,
       max(?2, coalesce(s.started_at, i.requested_at), i.requested_at), n.value ->> 1, s.plan_hash
  from jsonb_each(?1) n
  join intendant_intent i on i.id = n.value ->> 0
  left join intendant_started s on s.intent_id = i.id
