-- Finish: counts completed children, one update per parent; returns the parents that have enough to go on.
-- 1 parent, how many.
update intendant_wait as w set arrived = w.arrived + (n.value ->> 1)
  from jsonb_each(?1) n
 where w.intent_id = n.value ->> 0
returning intent_id, coalesce(arrived >= wake_at, 0)
