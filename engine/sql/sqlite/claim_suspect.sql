-- Claim: takes one suspect of some lanes out of *ready* (P6). 1 queue, 2 kinds.
delete from intendant_ready where (queue, kind, crashes, position, intent_id) in (
  select ?1, lane.value, first.value ->> 0, first.value ->> 1, first.value ->> 2
    from jsonb_each(?2) lane, jsonb_each((
      select jsonb_group_array(jsonb_array(r.crashes, r.position, r.intent_id))
        from (select crashes, position, intent_id from intendant_ready
               where queue = ?1 and kind = lane.value and crashes > 0
               order by crashes, position, intent_id limit 1) r)) first
   order by 3, 4, 5 limit 1)
returning intent_id, position, started, locks, crashes, routed
