-- Tick: what steps have to say. A recorded result is never overwritten (I6). Times are given as microseconds ago.
-- 1 worker; 2 intent, name, generation, state, attempt, output, error, progress, due in, started ago, finished ago; 3 now.
insert into intendant_step as s (intent_id, name, generation, state, attempt, output, error, progress, due_at, started_at,
                                 finished_at, worker)
select n.value ->> 0, n.value ->> 1, n.value ->> 2, n.value ->> 3, n.value ->> 4, n.value ->> 5, n.value ->> 6,
       n.value ->> 7, ?3 + (n.value ->> 8), ?3 - (n.value ->> 9), ?3 - (n.value ->> 10), ?1
  from json_each(?2) n where true
on conflict (intent_id, name, generation) do update
   set state = excluded.state, attempt = excluded.attempt, output = excluded.output, error = excluded.error,
       progress = coalesce(excluded.progress, s.progress), due_at = excluded.due_at, started_at = excluded.started_at,
       finished_at = excluded.finished_at, worker = excluded.worker
 where s.state not in ('succeeded', 'skipped', 'undone')
