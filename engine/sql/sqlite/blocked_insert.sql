-- Admit: the task goes from the claim to *blocked*. 1 intent, position.
insert into intendant_blocked (intent_id, position)
select n.value ->> 0, n.value ->> 1 from jsonb_each(?1) n
