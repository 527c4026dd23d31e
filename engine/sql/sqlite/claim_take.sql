-- Claim: takes the first tasks of some lanes out of *ready*: up to the last place for which there is room. The primary
-- key serves each lane in order, and no lane is read further than that. 1 queue, 2 kinds, 3 how many.
delete from intendant_ready
 where queue = ?1 and kind in (select lane.value from jsonb_each(?2) lane) and crashes = 0
   and (position, intent_id) <= (
     select position, intent_id from (
       select first.value ->> 0 as position, first.value ->> 1 as intent_id
         from jsonb_each(?2) lane, jsonb_each((
           select jsonb_group_array(jsonb_array(r.position, r.intent_id))
             from (select position, intent_id from intendant_ready
                    where queue = ?1 and kind = lane.value and crashes = 0
                    order by position, intent_id limit ?3) r)) first
        order by position, intent_id limit ?3)
      order by position desc, intent_id desc limit 1)
returning intent_id, position, started, locks, crashes, routed
