-- Schedule: what came of ticks, each once: the primary key refuses a second one. 1 schedule, 2 sort, 3 worker, 4 asked by,
-- 5 reason; 6–11 at, state, intent, error, count, since (times in microseconds since 1970).
insert into intendant.schedule_tick (schedule, at, sort, state, intent_id, error, count, since, decided_at, worker, asked_by,
                                     reason)
select $1::text, 'epoch'::timestamptz + n.at * interval '1 microsecond', $2::text, n.state, n.intent_id, n.error, n.count,
       'epoch'::timestamptz + n.since * interval '1 microsecond', clock_timestamp(), $3::text, $4::text, $5::text
  from unnest($6::bigint[], $7::text[], $8::uuid[], $9::text[], $10::bigint[], $11::bigint[])
       as n (at, state, intent_id, error, count, since)
