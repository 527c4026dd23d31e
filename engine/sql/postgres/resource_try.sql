-- Admit: tries to lock resources; returns those that it got. Never waits.
select n.resource from unnest($1::text[]) as n (resource)
 where pg_try_advisory_xact_lock(hashtextextended(n.resource, 4600))
