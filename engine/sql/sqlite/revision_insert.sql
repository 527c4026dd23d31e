-- Amend: keeps the input that is replaced. Primary key. 1 intent, 2 actor, 3 reason, 4 now.
insert into intendant_revision (intent_id, seq, at, actor, reason, input)
select i.id, coalesce((select max(r.seq) from intendant_revision r where r.intent_id = i.id), 0) + 1, ?4, ?2, ?3, i.input
  from intendant_intent i where i.id = ?1
