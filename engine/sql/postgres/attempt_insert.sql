-- Tick: failed attempts.
-- 1 worker; 2–10 intent, step, generation, attempt, failure, error, started ago, finished ago, retry in.
insert into intendant.attempt (intent_id, step, generation, attempt, failure, error, started_at, finished_at, retry_at,
                               worker)
select n.intent_id, n.step, n.generation, n.attempt, n.failure, n.error,
       now() - n.started_ago * interval '1 microsecond', now() - n.finished_ago * interval '1 microsecond',
       now() + n.retry_in * interval '1 microsecond', $1::text
  from unnest($2::uuid[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::bigint[], $9::bigint[],
              $10::bigint[])
       as n (intent_id, step, generation, attempt, failure, error, started_ago, finished_ago, retry_in)
