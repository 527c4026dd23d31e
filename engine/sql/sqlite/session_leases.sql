-- Reap: what is left in the dead session's leases and has no outcome.
select t.value, l.claimed_at, l.crashes, l.alone
  from intendant_lease l, jsonb_each(l.tasks) t
 where l.session_id = ?1 and not exists (select 1 from intendant_outcome o where o.intent_id = t.value)
