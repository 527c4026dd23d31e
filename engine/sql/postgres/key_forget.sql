-- Request: keys that were taken for requests that are refused. Primary key. 1–3 account, key, intent.
delete from intendant.key k
 using unnest($1::text[], $2::text[], $3::uuid[]) as n (account, key, intent_id)
 where k.account = n.account and k.key = n.key and k.intent_id = n.intent_id
