-- Housekeeping: what open alerts say by now. Index alert_open. 1–4 kind, about, text, count.
update intendant.alert a set text = n.text, count = n.count
  from unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) as n (kind, about, text, count)
 where a.kind = n.kind and a.about = n.about and a.resolved_at is null
