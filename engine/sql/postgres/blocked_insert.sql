-- Admit: the task goes from the claim to *blocked*. 1–3 intent, position, whether an ancestor holds something.
insert into intendant.blocked (intent_id, position, kin) select * from unnest($1::uuid[], $2::bigint[], $3::boolean[])
