-- Housekeeping and reap: there is more to tell of these. Primary key.
-- 1 topic, kind, kind of the intents, step, queue, worker, newest intent, text, count, since, last (microseconds
-- since 1970; now where there is none); 2 now.
insert into intendant_notice as o (topic, kind, intent_kind, step, queue, worker, newest_id, text, count, since, last_at)
select n.value ->> 0, n.value ->> 1, n.value ->> 2, n.value ->> 3, n.value ->> 4, n.value ->> 5, n.value ->> 6,
       n.value ->> 7, n.value ->> 8, coalesce(n.value ->> 9, ?2), coalesce(n.value ->> 10, ?2)
  from jsonb_each(?1) n where true
on conflict (topic) do update
   set step = excluded.step, worker = excluded.worker, newest_id = excluded.newest_id, text = excluded.text,
       count = o.count + excluded.count, last_at = excluded.last_at,
       since = case when o.count = 0 then excluded.since else o.since end
