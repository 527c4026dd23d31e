-- One intent's messages after one of them, in the order in which they were sent, and who took them. Index signal_of_intent.
-- 1 intent, 2 message, 3 how many.
select s.id, s.name, s.key, s.payload, s.sent_at, s.sent_by, a.step, s.refused
  from intendant_signal s left join intendant_awaited a on a.signal_id = s.id
 where s.intent_id = ?1 and s.id > ?2 order by s.id limit ?3
