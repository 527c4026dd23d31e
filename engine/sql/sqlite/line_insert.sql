-- Admit: places in line; an intent that tries again has its place already.
-- 1 resource, position, intent, mode, whether its kind goes side by side with some others.
insert into intendant_line (resource, position, intent_id, mode, sharing)
select n.value ->> 0, n.value ->> 1, n.value ->> 2, n.value ->> 3, n.value ->> 4 from jsonb_each(?1) n where true
on conflict (resource, position, intent_id) do nothing
