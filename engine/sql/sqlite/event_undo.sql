-- Tick: the engine's own note that these are taken back. 1 intent, why; 2 now.
insert into intendant_event (intent_id, seq, at, actor, verb, reason)
select n.value ->> 0, coalesce((select max(e.seq) from intendant_event e where e.intent_id = n.value ->> 0), 0) + 1,
       ?2, 'intendant', 'undo', n.value ->> 1
  from jsonb_each(?1) n
