-- cx.checkpoint, last statement: the safe point takes the place of the one before it. Primary key.
-- 1 intent, 2 step, 3 generation, 4 attempt, 5 value, 6 worker, 7 now.
insert into intendant_checkpoint (intent_id, step, generation, attempt, value, at, worker)
values (?1, ?2, ?3, ?4, ?5, ?7, ?6)
on conflict (intent_id, step, generation) do update
   set attempt = excluded.attempt, value = excluded.value, at = excluded.at, worker = excluded.worker
