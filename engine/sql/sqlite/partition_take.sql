-- Claim, in a queue whose tasks take turns: takes the first tasks of some partitions out of *ready*. Index
-- intendant_ready_partition. 1 queue, 2 kinds, 3 partitions, 4 how many of each.
delete from intendant_ready where (queue, kind, crashes, position, intent_id) in (
  select ?1, kind, -1, position, intent_id
    from (
      select lane.value as kind, first.value ->> 0 as position, first.value ->> 1 as intent_id,
             row_number() over (partition by p.value order by first.value ->> 0, first.value ->> 1) as n
        from jsonb_each(?3) p, jsonb_each(?2) lane, jsonb_each((
          select jsonb_group_array(jsonb_array(r.position, r.intent_id))
            from (select position, intent_id from intendant_ready
                   where queue = ?1 and kind = lane.value and crashes = -1 and partition = p.value
                   order by position, intent_id limit ?4) r)) first)
   where n <= ?4)
returning intent_id, position, started, locks, 0, routed, partition
