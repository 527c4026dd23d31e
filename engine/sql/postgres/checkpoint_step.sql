-- cx.checkpoint, after its fence: the step runs, as its row says from now on; no row comes back where it has a result, and
-- then nothing is written. Primary key. 1 intent, 2 step, 3 generation, 4 attempt, 5 started ago, 6 worker.
insert into intendant.step as s (intent_id, name, generation, state, attempt, started_at, worker)
values ($1::uuid, $2::text, $3::bigint, 'running', $4::bigint,
        clock_timestamp() - $5::bigint * interval '1 microsecond', $6::text)
on conflict (intent_id, name, generation) do update
   set state = 'running', attempt = excluded.attempt, error = null, due_at = null, started_at = excluded.started_at,
       finished_at = null, worker = excluded.worker
 where s.state not in ('succeeded', 'skipped', 'undone')
returning generation::bigint
