-- One intent's messages, in the order in which they were sent, and who took them. Index intendant_signal_of_intent.
select s.id, s.name, s.key, s.payload, s.sent_at, s.sent_by, a.step, s.refused
  from intendant_signal s left join intendant_awaited a on a.signal_id = s.id
 where s.intent_id = ?1 order by s.id
