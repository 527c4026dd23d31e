-- Schedule: an operator asks for an intent now; whose code declares it will request it. Primary keys.
-- 1 name, 2 actor, 3 reason, 4 now. Twice in a microsecond are two.
insert into intendant_schedule_tick (schedule, at, sort, state, decided_at, asked_by, reason)
select s.name,
       max(?4, coalesce((select max(t.at) + 1 from intendant_schedule_tick t where t.schedule = s.name and t.sort = 'hand'), 0)),
       'hand', 'asked', ?4, ?2, ?3
  from intendant_schedule s where s.name = ?1
returning at
