-- Tick: what steps wait for by names of their own; what a name meant the first time holds, and so does when it is due.
-- 1–6 intent, step, generation, name, sort, due in (microseconds).
insert into intendant.awaited (intent_id, step, generation, name, sort, asked_at, due_at)
select n.intent_id, n.step, n.generation, n.name, n.sort, clock_timestamp(), now() + n.due_in * interval '1 microsecond'
  from unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::bigint[])
       as n (intent_id, step, generation, name, sort, due_in)
on conflict (intent_id, step, generation, name) do nothing
