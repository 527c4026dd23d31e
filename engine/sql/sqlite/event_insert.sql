-- What a person did (I9). 1 intent, 2 actor, 3 verb, 4 reason, 5 detail, 6 now.
insert into intendant_event (intent_id, seq, at, actor, verb, reason, detail)
select ?1, coalesce(max(e.seq), 0) + 1, ?6, ?2, ?3, ?4, ?5 from intendant_event e where e.intent_id = ?1
