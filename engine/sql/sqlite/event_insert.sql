-- What a person did to these intents (I9). 1 actor, 2 verb, 3 reason, 4 intent and detail, 5 now.
insert into intendant_event (intent_id, seq, at, actor, verb, reason, detail)
select n.value ->> 0, coalesce((select max(e.seq) from intendant_event e where e.intent_id = n.value ->> 0), 0) + 1, ?5,
       ?1, ?2, ?3, n.value ->> 1
  from jsonb_each(?4) n
