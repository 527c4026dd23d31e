-- Finish: the resources that these intents hold, locked in one order until the commit, so that nobody gets in line
-- unseen while they are freed. Transaction-level advisory locks: poolers do not mind them.
select count(pg_advisory_xact_lock(s.h)) from (
  select distinct hashtextextended(resource, 4600) as h from intendant.holder where intent_id = any ($1::uuid[]) order by h
) s
