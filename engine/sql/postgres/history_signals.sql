-- One intent's messages, in the order in which they were sent, and who took them. Index signal_of_intent.
select s.id, s.name, s.key, s.payload, s.sent_at, s.sent_by, a.step, s.refused
  from intendant.signal s left join intendant.awaited a on a.signal_id = s.id
 where s.intent_id = $1::uuid order by s.id
