-- Park. 1–3 intent, reason, due in (microseconds).
insert into intendant.parked (intent_id, reason, due_at)
select n.intent_id, n.reason, now() + n.due_in * interval '1 microsecond'
  from unnest($1::uuid[], $2::text[], $3::bigint[]) as n (intent_id, reason, due_in)
