-- Alerts, newest first: the open ones by alert_open, all by walking the table, which is small (`alert_purge`).
-- 1 only open ones, 2 kind, 3 intent, 4 how many.
select id, kind, intent_id, intent_kind, step, queue, worker, since, raised_at, resolved_at, text, count
  from intendant.alert
 where (not $1::boolean or resolved_at is null) and ($2::text is null or kind = $2::text)
   and ($3::uuid is null or intent_id = $3::uuid)
 order by raised_at desc, id desc limit $4::bigint
