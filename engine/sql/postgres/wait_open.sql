-- Tick and resume: an intent that has children has a wait row.
insert into intendant.wait (intent_id, arrived) select id, 0 from unnest($1::uuid[]) as n (id)
on conflict (intent_id) do nothing
