-- Request: who has these keys. Primary key.
select k.account, k.key, k.intent_id, k.body_hash
  from unnest($1::text[], $2::text[]) as n (account, key)
  join intendant.key k on k.account = n.account and k.key = n.key
