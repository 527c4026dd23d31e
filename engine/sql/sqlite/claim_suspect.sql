-- Claim: takes one suspect of some lanes out of *ready* (P6). 1 queue, 2 kinds.
delete from intendant_ready where (queue, kind, crashes, position, intent_id) in (
  select ?1, r.kind, r.crashes, r.position, r.intent_id
    from json_each(?2) lane join intendant_ready r on r.queue = ?1 and r.kind = lane.value ->> 0 and r.crashes > 0
   order by r.crashes, r.position, r.intent_id limit 1)
returning intent_id, position, started, locks, crashes
