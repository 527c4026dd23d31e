-- How many tasks there are in each place; the hot tables only.
select (select count(*) from intendant.ready), (select count(*) from intendant.parked),
       (select count(*) from intendant.blocked),
       (select count(*) from intendant.lease l cross join lateral unnest(l.tasks) as t (id)
         where not exists (select from intendant.outcome o where o.intent_id = t.id))
