-- Request: keys that were taken for requests that are refused. Primary key. 1 account, key, intent.
delete from intendant_key
 where (account, key, intent_id) in (select n.value ->> 0, n.value ->> 1, n.value ->> 2 from jsonb_each(?1) n)
