-- Claim: the first tasks of one lane, where a queue has only one for this worker: nothing is to be merged. The primary
-- key serves it. 1 queue, 2 kind, 3 how many.
delete from intendant_ready
 where queue = ?1 and kind = ?2 and crashes = 0
   and (position, intent_id) <= (
     select position, intent_id from (
       select position, intent_id from intendant_ready
        where queue = ?1 and kind = ?2 and crashes = 0
        order by position, intent_id limit ?3)
      order by position desc, intent_id desc limit 1)
returning intent_id, position, started, locks, crashes, routed
