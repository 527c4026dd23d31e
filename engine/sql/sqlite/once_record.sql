-- cx.transaction, last statement: the result, if there is none yet; no row means that the user's SQL is rolled back.
-- 1 intent, 2 step, 3 generation, 4 attempt, 5 output, 6 started ago, 7 worker, 8 now.
insert into intendant_step as s (intent_id, name, generation, state, attempt, output, started_at, finished_at, worker)
values (?1, ?2, ?3, 'succeeded', ?4, ?5, ?8 - ?6, ?8, ?7)
on conflict (intent_id, name, generation) do update
   set state = 'succeeded', attempt = excluded.attempt, output = excluded.output, error = null, due_at = null,
       started_at = excluded.started_at, finished_at = excluded.finished_at, worker = excluded.worker
 where s.state not in ('succeeded', 'skipped', 'undone')
returning generation
