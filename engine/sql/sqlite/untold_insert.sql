-- Finish, of those that failed: to be counted in a notice.
insert into intendant_untold (intent_id) select n.value from jsonb_each(?1) n where true
on conflict (intent_id) do nothing
