-- How many tasks there are in each place; the hot tables only.
select (select count(*) from intendant_ready), (select count(*) from intendant_parked),
       (select count(*) from intendant_blocked),
       (select count(*) from intendant_lease l, jsonb_each(l.tasks) t
         where not exists (select 1 from intendant_outcome o where o.intent_id = t.value))
