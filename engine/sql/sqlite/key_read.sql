-- Request: who has these keys. Primary key.
select k.account, k.key, k.intent_id, k.body_hash
  from jsonb_each(?1) n
  join intendant_key k on k.account = n.value ->> 0 and k.key = n.value ->> 1
