-- Cancel: the resources that these intents want, which they hold or stand in line for, locked in one order until the
-- commit, so that nobody gets in line unseen while they are freed. The same locks as `resource_lock`. 1 intents.
select count(pg_advisory_xact_lock(s.h)) from (
  select distinct hashtextextended(resource, 4600) as h
    from intendant.resource where intent_id = any ($1::uuid[]) and mode <> 'touched' order by h
) s
