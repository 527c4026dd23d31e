-- Reap: the engine's own note that these were taken from a dead session. 1 worker, 2 reason; 3 intent, crashes; 4 now.
insert into intendant_event (intent_id, seq, at, actor, verb, reason, detail)
select n.value ->> 0,
       coalesce((select max(e.seq) from intendant_event e where e.intent_id = n.value ->> 0), 0) + 1,
       ?4, 'intendant', 'take over', ?2, json_object('worker', ?1, 'crashes', n.value ->> 1)
  from jsonb_each(?3) n
