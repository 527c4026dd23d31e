-- Amend: keeps the input that is replaced. Primary key. 1 intent, 2 actor, 3 reason.
insert into intendant.revision (intent_id, seq, at, actor, reason, input)
select i.id, coalesce((select max(r.seq) from intendant.revision r where r.intent_id = i.id), 0) + 1, clock_timestamp(),
       $2::text, $3::text, i.input
  from intendant.intent i where i.id = $1::uuid
