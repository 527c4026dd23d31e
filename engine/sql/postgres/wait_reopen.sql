-- Resume: an intent that has asked for children has a wait row again, by which they are found.
insert into intendant.wait (intent_id, arrived)
select distinct c.parent_id, 0 from intendant.child c where c.parent_id = any ($1::uuid[])
on conflict (intent_id) do nothing
