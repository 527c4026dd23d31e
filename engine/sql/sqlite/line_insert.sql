-- Admit: places in line; an intent that tries again has its place already, perhaps among others than before,
-- or with other rules.
-- 1 resource, position, intent, mode, whether its kind goes side by side with some others, among whom it waits.
insert into intendant_line as l (resource, position, intent_id, mode, sharing, among)
select n.value ->> 0, n.value ->> 1, n.value ->> 2, n.value ->> 3, n.value ->> 4, n.value ->> 5
  from jsonb_each(?1) n where true
on conflict (resource, position, intent_id) do update set among = excluded.among, sharing = excluded.sharing
 where l.among <> excluded.among or l.sharing <> excluded.sharing
