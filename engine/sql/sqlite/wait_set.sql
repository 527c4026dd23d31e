-- Park: from which count of completions on the intent can go on; returns those for which that is so already.
-- 1 intent, count.
update intendant_wait as w set wake_at = n.value ->> 1
  from jsonb_each(?1) n
 where w.intent_id = n.value ->> 0
returning intent_id, arrived >= wake_at
