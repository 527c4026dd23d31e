-- Reap: the engine's own note that these were taken from a dead session. 1 worker; 2 intent, crashes; 3 now.
insert into intendant_event (intent_id, seq, at, actor, verb, reason, detail)
select n.value ->> 0,
       coalesce((select max(e.seq) from intendant_event e where e.intent_id = n.value ->> 0), 0) + 1,
       ?3, 'intendant', 'take over', 'taken over after a crash of worker ' || ?1,
       json_object('worker', ?1, 'crashes', n.value ->> 1)
  from json_each(?2) n
