-- Schedule: an operator asks for an intent now; whose code declares it will request it. Primary keys. 1 name, 2 actor, 3 reason.
insert into intendant.schedule_tick (schedule, at, sort, state, decided_at, asked_by, reason)
select s.name, t.now, 'hand', 'asked', t.now, $2::text, $3::text
  from intendant.schedule s, (select clock_timestamp() as now) t where s.name = $1::text
on conflict (schedule, at, sort) do nothing
returning at
