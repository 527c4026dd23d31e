-- Admit: the task goes from the claim to *blocked*. 1–2 intent, position.
insert into intendant.blocked (intent_id, position) select * from unnest($1::uuid[], $2::bigint[])
