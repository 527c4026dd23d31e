-- Tick: failed attempts.
-- 1 worker; 2 intent, step, generation, attempt, failure, error, started ago, finished ago, retry in; 3 now.
insert into intendant_attempt (intent_id, step, generation, attempt, failure, error, started_at, finished_at, retry_at,
                               worker)
select n.value ->> 0, n.value ->> 1, n.value ->> 2, n.value ->> 3, n.value ->> 4, n.value ->> 5,
       ?3 - (n.value ->> 6), ?3 - (n.value ->> 7), ?3 + (n.value ->> 8), ?1
  from jsonb_each(?2) n
