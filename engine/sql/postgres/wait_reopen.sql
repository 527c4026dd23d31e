-- Resume: an intent that has asked for children, or waited by names, has a wait row again, by which they are found.
insert into intendant.wait (intent_id, arrived)
select n.id, 0
  from unnest($1::uuid[]) as n (id)
 where exists (select from intendant.child c where c.parent_id = n.id)
    or exists (select from intendant.awaited a where a.intent_id = n.id)
on conflict (intent_id) do nothing
