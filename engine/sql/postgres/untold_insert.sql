-- Finish, of those that failed: to be counted in a notice.
insert into intendant.untold (intent_id) select * from unnest($1::uuid[]) on conflict (intent_id) do nothing
