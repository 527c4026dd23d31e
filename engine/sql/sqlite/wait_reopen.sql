-- Resume: an intent that has asked for children has a wait row again, by which they are found.
insert into intendant_wait (intent_id, arrived)
select distinct c.parent_id, 0 from intendant_child c
 where c.parent_id in (select n.value from jsonb_each(?1) n)
on conflict (intent_id) do nothing
