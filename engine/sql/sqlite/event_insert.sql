-- What was done to these intents (I9). Returns those of which it is written: of two of one intent, one at a time.
-- 1 actor, 2 verb; 3 intent, reason, detail; 4 now.
insert into intendant_event (intent_id, seq, at, actor, verb, reason, detail)
select n.value ->> 0, coalesce((select max(e.seq) from intendant_event e where e.intent_id = n.value ->> 0), 0) + 1, ?4,
       ?1, ?2, n.value ->> 1, n.value ->> 2
  from jsonb_each(?3) n where true
on conflict (intent_id, seq) do nothing
returning intent_id
