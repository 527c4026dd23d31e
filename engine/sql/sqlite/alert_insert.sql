-- Housekeeping and reap: raises alerts, once for each thing that they are about. Index alert_open.
-- 1 id, kind, about, intent, kind of the intent, step, generation, queue, worker, host, since (microseconds since 1970),
-- since ago (microseconds), text, count; 2 now.
insert into intendant_alert (id, kind, about, intent_id, intent_kind, step, generation, queue, worker, host, since,
                             raised_at, text, count)
select n.value ->> 0, n.value ->> 1, n.value ->> 2, n.value ->> 3, n.value ->> 4, n.value ->> 5, n.value ->> 6,
       n.value ->> 7, n.value ->> 8, n.value ->> 9, coalesce(n.value ->> 10, ?2 - coalesce(n.value ->> 11, 0)), ?2,
       n.value ->> 12, n.value ->> 13
  from jsonb_each(?1) n where true
on conflict (kind, about) where resolved_at is null do nothing
