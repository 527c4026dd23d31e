-- Tick, cx.transaction: what attempts have measured. An attempt that was taken up again has the last word. Primary key.
-- 1–6 intent, step, generation, attempt, name, value.
insert into intendant.measure (intent_id, step, generation, attempt, name, value, at)
select n.intent_id, n.step, n.generation, n.attempt, n.name, n.value::double precision, now()
  from unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::text[])
       as n (intent_id, step, generation, attempt, name, value)
on conflict (intent_id, step, generation, attempt, name) do update set value = excluded.value, at = excluded.at
