-- Housekeeping and reap: there is more to tell of these. Primary key, in its order.
-- 1–11 topic, kind, kind of the intents, step, queue, worker, newest intent, text, count; since, last (microseconds since
-- 1970; now where there is none).
insert into intendant.notice as o (topic, kind, intent_kind, step, queue, worker, newest_id, text, count, since, last_at)
select n.topic, n.kind, n.intent_kind, n.step, n.queue, n.worker, n.newest_id, n.text, n.count,
       coalesce(to_timestamp(n.since_us / 1000000.0), clock_timestamp()),
       coalesce(to_timestamp(n.last_us / 1000000.0), clock_timestamp())
  from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::uuid[], $8::text[],
              $9::bigint[], $10::bigint[], $11::bigint[])
       as n (topic, kind, intent_kind, step, queue, worker, newest_id, text, count, since_us, last_us)
 order by n.topic
on conflict (topic) do update
   set step = excluded.step, worker = excluded.worker, newest_id = excluded.newest_id, text = excluded.text,
       count = o.count + excluded.count, last_at = excluded.last_at,
       since = case when o.count = 0 then excluded.since else o.since end
