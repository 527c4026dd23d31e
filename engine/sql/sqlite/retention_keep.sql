-- Retention: these roots had to stay, and why. Primary key. 1 rows or payloads, 2 root and reason, 3 now.
insert into intendant_retention_kept (intent_id, what, reason, looked_at)
select n.value ->> 0, ?1, n.value ->> 1, ?3 from jsonb_each(?2) n where true
on conflict (intent_id, what) do update set reason = excluded.reason, looked_at = excluded.looked_at
