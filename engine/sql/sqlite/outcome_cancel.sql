-- Cancel: the outcome of intents of which nothing has begun, and whose tokens have been taken.
-- 1 intent, by whom and why; 2 now.
insert into intendant_outcome (intent_id, kind, account, state, requested_at, finished_at, error)
select i.id, i.kind, i.account, 'cancelled', i.requested_at, max(?2, i.requested_at), n.value ->> 1
  from jsonb_each(?1) n join intendant_intent i on i.id = n.value ->> 0
