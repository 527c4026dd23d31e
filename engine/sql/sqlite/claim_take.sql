-- Claim: takes the first tasks of some lanes of one queue out of *ready*. The primary key serves each lane in order.
-- 1 queue, 2 kinds, 3 how many.
delete from intendant_ready where (queue, kind, crashes, position, intent_id) in (
  select ?1, r.kind, 0, r.position, r.intent_id
    from json_each(?2) lane join intendant_ready r on r.queue = ?1 and r.kind = lane.value ->> 0 and r.crashes = 0
   order by r.position, r.intent_id limit ?3)
returning intent_id, position, started, locks, crashes
