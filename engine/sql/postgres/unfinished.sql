-- How many tasks there are in each place; the hot tables only. One look by the key for each leased task: a plan that joins
-- with history is what the planner takes when it believes that there is none yet.
select (select count(*) from intendant.ready), (select count(*) from intendant.parked),
       (select count(*) from intendant.blocked),
       (select count(*) from intendant.lease l cross join lateral unnest(l.tasks) as t (id)
          left join lateral (select true as is_there from intendant.outcome o where o.intent_id = t.id limit 1) o on true
         where o.is_there is null)
