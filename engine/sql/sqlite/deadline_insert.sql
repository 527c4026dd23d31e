-- Request, of intents that have a deadline: counted from when they may start; and tick, of steps that become ready. What is
-- there already stays. 1 intent, step, generation, due at (microseconds since 1970), due in; 2 now.
insert into intendant_deadline (intent_id, step, generation, due_at)
select n.value ->> 0, n.value ->> 1, n.value ->> 2,
       coalesce(n.value ->> 3,
                (select case when n.value ->> 1 = '' then max(i.requested_at, coalesce(i.run_at, 0)) else ?2 end
                   from intendant_intent i where i.id = n.value ->> 0) + (n.value ->> 4))
  from jsonb_each(?1) n where true
on conflict (intent_id, step, generation) do nothing
