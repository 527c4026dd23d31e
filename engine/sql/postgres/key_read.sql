-- Request: who has these keys; and, where one was taken by plain SQL, which leaves no hash, for what, and whether
-- retention has removed that. Primary keys.
select k.account, k.key, k.intent_id, k.body_hash, i.kind, i.input,
       i.id is null or i.payload_removed_at is not null
  from unnest($1::text[], $2::text[]) as n (account, key)
  join intendant.key k on k.account = n.account and k.key = n.key
  left join intendant.intent i on i.id = k.intent_id and k.body_hash = ''
