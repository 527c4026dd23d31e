-- Retention: these roots had to stay, and why. Primary key. 1 rows or payloads, 2–3 root, reason.
insert into intendant.retention_kept (intent_id, what, reason, looked_at)
select n.intent_id, $1::text, n.reason, clock_timestamp() from unnest($2::uuid[], $3::text[]) as n (intent_id, reason)
on conflict (intent_id, what) do update set reason = excluded.reason, looked_at = excluded.looked_at
