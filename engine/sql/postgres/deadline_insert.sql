-- Request, of intents that have a deadline: counted from when they may start; and tick, of steps that become ready. What is
-- there already stays. 1–5 intent, step, generation, due at (microseconds since 1970), due in.
insert into intendant.deadline (intent_id, step, generation, due_at)
select n.intent_id, n.step, n.generation,
       coalesce(to_timestamp(n.due_at / 1000000.0),
                (select case when n.step = '' then greatest(i.requested_at, i.run_at) else clock_timestamp() end
                   from intendant.intent i where i.id = n.intent_id) + n.due_in * interval '1 microsecond')
  from unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
       as n (intent_id, step, generation, due_at, due_in)
on conflict (intent_id, step, generation) do nothing
