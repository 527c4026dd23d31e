-- cx.checkpoint, last statement: the safe point takes the place of the one before it. Primary key.
-- 1 intent, 2 step, 3 generation, 4 attempt, 5 value, 6 worker.
insert into intendant.checkpoint (intent_id, step, generation, attempt, value, at, worker)
values ($1::uuid, $2::text, $3::bigint, $4::bigint, $5::text::json, clock_timestamp(), $6::text)
on conflict (intent_id, step, generation) do update
   set attempt = excluded.attempt, value = excluded.value, at = excluded.at, worker = excluded.worker
