-- Housekeeping: the cause of these is gone. Index alert_open. 1 kind, about; 2 now.
update intendant_alert as a set resolved_at = max(?2, a.raised_at)
  from jsonb_each(?1) n
 where a.kind = n.value ->> 0 and a.about = n.value ->> 1 and a.resolved_at is null
