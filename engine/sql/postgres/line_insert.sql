-- Admit: places in line; an intent that tries again has its place already, perhaps among others than before,
-- or with other rules.
-- 1–6 resource, position, intent, mode, whether its kind goes side by side with some others, among whom it waits.
insert into intendant.line as l (resource, position, intent_id, mode, sharing, among)
select * from unnest($1::text[], $2::bigint[], $3::uuid[], $4::text[], $5::boolean[], $6::text[])
on conflict (resource, position, intent_id) do update set among = excluded.among, sharing = excluded.sharing
 where l.among <> excluded.among or l.sharing <> excluded.sharing
