-- Admit: intents that a conflict rule has refused or made the same as another one come to their end; the primary key lets it
-- happen once. Returns them with their parents. 1–2 intent, why.
insert into intendant.outcome (intent_id, kind, account, state, requested_at, finished_at, error)
select i.id, i.kind, i.account, 'cancelled', i.requested_at, greatest(clock_timestamp(), i.requested_at), n.error
  from unnest($1::uuid[], $2::text[]) as n (intent_id, error) join intendant.intent i on i.id = n.intent_id
on conflict (intent_id) do nothing
returning intent_id, (select p.parent_id from intendant.intent p where p.id = outcome.intent_id)
