-- Request: takes keys that are free or expired; returns those taken. The unique index decides between two requests.
-- 1–4 account, key, intent, hash of the body; 5 retention in microseconds.
insert into intendant.key as k (account, key, intent_id, body_hash, expires_at)
select n.account, n.key, n.intent_id, n.body_hash, clock_timestamp() + $5::bigint * interval '1 microsecond'
  from unnest($1::text[], $2::text[], $3::uuid[], $4::bytea[]) as n (account, key, intent_id, body_hash)
 order by n.account, n.key
on conflict (account, key) do update
   set intent_id = excluded.intent_id, body_hash = excluded.body_hash, expires_at = excluded.expires_at
 where k.expires_at <= clock_timestamp()
returning k.account, k.key
