-- Claim: takes one suspect of some lanes out of *ready* (P6). 1 queue, 2 kinds.
delete from intendant.ready d
 where d.ctid = any (array (
  select r.ctid
    from unnest($2::text[]) as lane (kind)
    cross join lateral (
      select r.ctid
        from intendant.ready r
       where r.queue = $1::text and r.kind = lane.kind and r.crashes > 0
       order by r.crashes, r.position, r.intent_id
       limit 1
         for update skip locked
    ) r
   limit 1))
returning d.intent_id, d.position, d.started, d.locks, d.crashes::bigint, d.routed
