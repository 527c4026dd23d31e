-- Admit: the task goes from the claim to *blocked*. 1 intent, position, whether an ancestor holds something.
insert into intendant_blocked (intent_id, position, kin)
select n.value ->> 0, n.value ->> 1, n.value ->> 2 from jsonb_each(?1) n
