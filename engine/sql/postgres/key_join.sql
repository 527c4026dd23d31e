-- Request: a key that was taken for a new intent belongs to the one that it joins. Primary key. 1–3 account, key, intent.
update intendant.key k set intent_id = n.intent_id
  from unnest($1::text[], $2::text[], $3::uuid[]) as n (account, key, intent_id)
 where k.account = n.account and k.key = n.key
