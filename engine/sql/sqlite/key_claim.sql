-- Request: takes keys that are free or expired; returns those taken. The unique index decides between two requests.
-- 1 account, key, intent, hash of the body; 2 retention in microseconds; 3 now.
insert into intendant_key as k (account, key, intent_id, body_hash, expires_at)
select n.value ->> 0, n.value ->> 1, n.value ->> 2, unhex(n.value ->> 3), ?3 + ?2 from jsonb_each(?1) n where true
on conflict (account, key) do update
   set intent_id = excluded.intent_id, body_hash = excluded.body_hash, expires_at = excluded.expires_at
 where k.expires_at <= ?3
returning account, key
