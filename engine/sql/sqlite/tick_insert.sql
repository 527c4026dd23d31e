-- Schedule: what came of ticks, each once: the primary key refuses a second one. 1 schedule, 2 sort, 3 worker, 4 asked by,
-- 5 reason; 6 at, state, intent, error, count, since (times in microseconds since 1970); 7 now.
insert into intendant_schedule_tick (schedule, at, sort, state, intent_id, error, count, since, decided_at, worker, asked_by,
                                     reason)
select ?1, n.value ->> 0, ?2, n.value ->> 1, n.value ->> 2, n.value ->> 3, n.value ->> 4, n.value ->> 5, ?7, ?3, ?4, ?5
  from jsonb_each(?6) n
