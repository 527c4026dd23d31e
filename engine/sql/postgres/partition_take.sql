-- Claim, in a queue whose tasks take turns: takes the first tasks of some partitions out of *ready*. Index ready_partition;
-- rows that another claim is taking are skipped. 1 queue, 2 kinds, 3 partitions, 4 how many of each.
delete from intendant.ready d
 where d.ctid = any (array (
  select r.ctid
    from unnest($3::text[]) as p (name)
    cross join lateral (
      select r.ctid
        from unnest($2::text[]) as lane (kind)
        cross join lateral (
          select r.ctid, r.position, r.intent_id
            from intendant.ready r
           where r.queue = $1::text and r.kind = lane.kind and r.crashes = -1 and r.partition = p.name
           order by r.position, r.intent_id
           limit $4::bigint
             for update skip locked
        ) r
       order by r.position, r.intent_id
       limit $4::bigint
    ) r))
returning d.intent_id, d.position, d.started, d.locks, 0::bigint, d.routed, d.partition
