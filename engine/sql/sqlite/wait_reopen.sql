-- Resume: an intent that has asked for children, or waited by names, has a wait row again, by which they are found.
insert into intendant_wait (intent_id, arrived)
select n.value, 0
  from jsonb_each(?1) n
 where exists (select 1 from intendant_child c where c.parent_id = n.value)
    or exists (select 1 from intendant_awaited a where a.intent_id = n.value)
on conflict (intent_id) do nothing
