-- Tick: what steps wait for by names of their own; what a name meant the first time holds, and so does when it is due.
-- 1 intent, step, generation, name, sort, due in (microseconds); 2 now.
insert into intendant_awaited (intent_id, step, generation, name, sort, asked_at, due_at)
select n.value ->> 0, n.value ->> 1, n.value ->> 2, n.value ->> 3, n.value ->> 4, ?2, ?2 + (n.value ->> 5)
  from jsonb_each(?1) n where true
on conflict (intent_id, step, generation, name) do nothing
