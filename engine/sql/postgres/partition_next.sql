-- Claim, in a queue whose tasks take turns: the partitions that have something filed, from a name on, and how many tasks of
-- each workers have in hand. Index ready_partition, from one to the next. 1 queue, 2 kinds, 3 from, 4 how many.
with recursive next (kind, name, n) as (
  select lane.kind,
         (select r.partition from intendant.ready r
           where r.queue = $1::text and r.kind = lane.kind and r.crashes = -1 and r.partition >= $3::text
           order by r.partition limit 1), 1
    from unnest($2::text[]) as lane (kind)
  union all
  select l.kind,
         (select r.partition from intendant.ready r
           where r.queue = $1::text and r.kind = l.kind and r.crashes = -1 and r.partition > l.name
           order by r.partition limit 1), l.n + 1
    from next l where l.name is not null and l.n < $4::bigint
)
select n.name, coalesce(p.lent, 0)
  from (select distinct name from next where name is not null order by name limit $4::bigint) n
  left join intendant.partition p on p.queue = $1::text and p.name = n.name
 order by n.name
