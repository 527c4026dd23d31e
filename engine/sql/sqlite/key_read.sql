-- Request: who has these keys; and, where one was taken by plain SQL, which leaves no hash, for what, and whether
-- retention has removed that. Primary keys.
select k.account, k.key, k.intent_id, k.body_hash, i.kind, i.input,
       i.id is null or i.payload_removed_at is not null
  from jsonb_each(?1) n
  join intendant_key k on k.account = n.value ->> 0 and k.key = n.value ->> 1
  left join intendant_intent i on i.id = k.intent_id and k.body_hash = x''
