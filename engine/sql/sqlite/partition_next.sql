-- Claim, in a queue whose tasks take turns: the partitions that have something filed, from a name on, and how many tasks of
-- each workers have in hand. Index intendant_ready_partition, from one to the next. 1 queue, 2 kinds, 3 from, 4 how many.
with recursive next (kind, name, n) as (
  select lane.value,
         (select r.partition from intendant_ready r
           where r.queue = ?1 and r.kind = lane.value and r.crashes = -1 and r.partition >= ?3
           order by r.partition limit 1), 1
    from jsonb_each(?2) lane
  union all
  select l.kind,
         (select r.partition from intendant_ready r
           where r.queue = ?1 and r.kind = l.kind and r.crashes = -1 and r.partition > l.name
           order by r.partition limit 1), l.n + 1
    from next l where l.name is not null and l.n < ?4
)
select n.name, coalesce(p.lent, 0)
  from (select distinct name from next where name is not null order by name limit ?4) n
  left join intendant_partition p on p.queue = ?1 and p.name = n.name
 order by n.name
