-- Reap: what is left in the dead session's leases and has no outcome.
select t.id, l.claimed_at, l.crashes::bigint, l.alone
  from intendant.lease l cross join lateral unnest(l.tasks) as t (id)
 where l.session_id = $1::uuid and not exists (select from intendant.outcome o where o.intent_id = t.id)
