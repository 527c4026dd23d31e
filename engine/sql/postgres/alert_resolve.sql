-- Housekeeping: the cause of these is gone. Index alert_open. 1–2 kind, about.
update intendant.alert a set resolved_at = greatest(clock_timestamp(), a.raised_at)
  from unnest($1::text[], $2::text[]) as n (kind, about)
 where a.kind = n.kind and a.about = n.about and a.resolved_at is null
