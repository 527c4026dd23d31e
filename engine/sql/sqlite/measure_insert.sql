-- Tick, cx.transaction: what attempts have measured. An attempt that was taken up again has the last word. Primary key.
-- 1 intent, step, generation, attempt, name, value; 2 now.
insert into intendant_measure (intent_id, step, generation, attempt, name, value, at)
select n.value ->> 0, n.value ->> 1, n.value ->> 2, n.value ->> 3, n.value ->> 4, cast(n.value ->> 5 as real), ?2
  from jsonb_each(?1) n where true
on conflict (intent_id, step, generation, attempt, name) do update set value = excluded.value, at = excluded.at
