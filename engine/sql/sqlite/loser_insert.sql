-- Admit: intents that a conflict rule has refused or made the same as another one come to their end; the primary key lets it
-- happen once. Returns them with their parents. 1 intent, why; 2 now.
insert into intendant_outcome (intent_id, kind, account, state, requested_at, finished_at, error)
select i.id, i.kind, i.account, 'cancelled', i.requested_at, max(?2, i.requested_at), n.value ->> 1
  from jsonb_each(?1) n join intendant_intent i on i.id = n.value ->> 0
 where true
on conflict (intent_id) do nothing
returning intent_id, (select p.parent_id from intendant_intent p where p.id = intent_id)
