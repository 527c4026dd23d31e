-- Finish: the primary key lets it happen once; returns those for which it did now.
-- 1 intent, kind, account, state, requested, started, output, reason, error, step, plan; 2 now.
insert into intendant_outcome (intent_id, kind, account, state, requested_at, started_at, finished_at, output, reason,
                               error, step, plan_hash)
select n.value ->> 0, n.value ->> 1, n.value ->> 2, n.value ->> 3, n.value ->> 4,
       max(n.value ->> 5, n.value ->> 4), max(?2, n.value ->> 5, n.value ->> 4), n.value ->> 6, n.value ->> 7,
       n.value ->> 8, n.value ->> 9, n.value ->> 10
  from json_each(?1) n where true
on conflict (intent_id) do nothing
returning intent_id
