-- Tick: results of steps that have no row yet, which are nearly all; the primary key lets it happen once (I6). Times are
-- given as microseconds ago, so that no worker's clock is mixed with the database's.
-- 1 worker; 2–8 intent, name, generation, attempt, output, started ago, finished ago.
insert into intendant.step (intent_id, name, generation, state, attempt, output, started_at, finished_at, worker)
select n.intent_id, n.name, n.generation, 'succeeded', n.attempt, n.output::json,
       now() - n.started_ago * interval '1 microsecond', now() - n.finished_ago * interval '1 microsecond', $1::text
  from unnest($2::uuid[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[], $8::bigint[])
       as n (intent_id, name, generation, attempt, output, started_ago, finished_ago)
