-- Claim: takes the first tasks of some lanes of one queue out of *ready*. The primary key serves each lane in order; rows
-- that another claim is taking are skipped. They are deleted by their place in the table: they are locked, and nothing
-- updates them but what files them by partition, out of this order. 1 queue, 2 kinds, 3 how many.
delete from intendant.ready d
 where d.ctid = any (array (
  select r.ctid
    from unnest($2::text[]) as lane (kind)
    cross join lateral (
      select r.ctid, r.position, r.intent_id
        from intendant.ready r
       where r.queue = $1::text and r.kind = lane.kind and r.crashes = 0
       order by r.position, r.intent_id
       limit $3::bigint
         for update skip locked
    ) r
   order by r.position, r.intent_id
   limit $3::bigint))
returning d.intent_id, d.position, d.started, d.locks, d.crashes::bigint, d.routed
