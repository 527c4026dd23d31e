-- Tick and resume: an intent that has children has a wait row.
insert into intendant_wait (intent_id, arrived) select n.value, 0 from jsonb_each(?1) n where true
on conflict (intent_id) do nothing
