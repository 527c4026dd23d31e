-- Housekeeping and reap: raises alerts, once for each thing that they are about. Index alert_open.
-- 1–14 id, kind, about, intent, kind of the intent, step, generation, queue, worker, host, since (microseconds since 1970),
-- since ago (microseconds), text, count.
insert into intendant.alert (id, kind, about, intent_id, intent_kind, step, generation, queue, worker, host, since,
                             raised_at, text, count)
select n.id, n.kind, n.about, n.intent_id, n.intent_kind, n.step, n.generation, n.queue, n.worker, n.host,
       coalesce(to_timestamp(n.since_us / 1000000.0), clock_timestamp() - coalesce(n.ago, 0) * interval '1 microsecond'),
       clock_timestamp(), n.text, n.count
  from unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::bigint[], $8::text[],
              $9::text[], $10::text[], $11::bigint[], $12::bigint[], $13::text[], $14::bigint[])
       as n (id, kind, about, intent_id, intent_kind, step, generation, queue, worker, host, since_us, ago, text, count)
on conflict (kind, about) where resolved_at is null do nothing
