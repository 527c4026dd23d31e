-- Admit: places in line; an intent that tries again has its place already. 1–4 resource, position, intent, mode.
insert into intendant.line (resource, position, intent_id, mode)
select * from unnest($1::text[], $2::bigint[], $3::uuid[], $4::text[])
on conflict (resource, position, intent_id) do nothing
