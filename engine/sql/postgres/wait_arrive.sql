-- Finish: counts completed children, one update per parent; returns the parents that have enough to go on.
-- 1–2 parent, how many.
update intendant.wait w set arrived = w.arrived + n.finished
  from unnest($1::uuid[], $2::bigint[]) as n (intent_id, finished)
 where w.intent_id = n.intent_id
returning w.intent_id, coalesce(w.arrived >= w.wake_at, false)
