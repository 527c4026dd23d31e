-- Request: a key that was taken for a new intent belongs to the one that it joins. Primary key. 1 account, key, intent.
update intendant_key set intent_id = n.value ->> 2
  from jsonb_each(?1) n
 where intendant_key.account = n.value ->> 0 and intendant_key.key = n.value ->> 1
