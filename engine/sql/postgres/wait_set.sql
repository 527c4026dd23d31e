-- Park: from which count of completions on the intent can go on; returns those for which that is so already.
-- 1–2 intent, count.
update intendant.wait w set wake_at = n.wake_at
  from unnest($1::uuid[], $2::bigint[]) as n (intent_id, wake_at)
 where w.intent_id = n.intent_id
returning w.intent_id, w.arrived >= w.wake_at
