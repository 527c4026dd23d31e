-- Admit: places in line; an intent that tries again has its place already.
-- 1–5 resource, position, intent, mode, whether its kind goes side by side with some others.
insert into intendant.line (resource, position, intent_id, mode, sharing)
select * from unnest($1::text[], $2::bigint[], $3::uuid[], $4::text[], $5::boolean[])
on conflict (resource, position, intent_id) do nothing
