-- Why: of one that is filed by its partition: by what its queue is partitioned, how many of a partition may be in hand, its
-- partition, how many of that are, and how many are before it; counts no further than the limit. Primary keys, index
-- intendant_ready_partition. 1 queue, 2 kind, 3 position, 4 task, 5 limit.
select q.partition_by, q.partition_limit, r.partition, coalesce(p.lent, 0),
       (select count(*)
          from (select 1 from intendant_ready a
                 where a.queue = ?1 and a.kind = ?2 and a.crashes = -1 and a.partition = r.partition
                   and (a.position, a.intent_id) < (?3, ?4) limit ?5) a)
  from intendant_ready r
  left join intendant_queue q on q.name = r.queue
  left join intendant_partition p on p.queue = r.queue and p.name = r.partition
 where r.queue = ?1 and r.kind = ?2 and r.crashes = -1 and r.position = ?3 and r.intent_id = ?4
