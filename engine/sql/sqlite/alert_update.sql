-- Housekeeping: what open alerts say by now. Index alert_open. 1 kind, about, text, count.
update intendant_alert as a set text = n.value ->> 2, count = n.value ->> 3
  from jsonb_each(?1) n
 where a.kind = n.value ->> 0 and a.about = n.value ->> 1 and a.resolved_at is null
