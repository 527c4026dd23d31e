-- Park. 1 intent, reason, due in (microseconds); 2 now.
insert into intendant_parked (intent_id, reason, due_at)
select n.value ->> 0, n.value ->> 1, ?2 + (n.value ->> 2) from jsonb_each(?1) n
