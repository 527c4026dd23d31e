-- Claim: takes the first tasks of some lanes of one queue out of *ready*. The primary key serves it in order; rows that
-- another claim is taking are skipped. 1 queue, 2 kinds, 3 how many.
with picked as materialized (
  select r.queue, r.kind, r.crashes, r.position, r.intent_id
    from unnest($2::text[]) as lane (kind)
    cross join lateral (
      select r.queue, r.kind, r.crashes, r.position, r.intent_id
        from intendant.ready r
       where r.queue = $1::text and r.kind = lane.kind and r.crashes = 0
       order by r.position, r.intent_id
       limit $3::bigint
         for update skip locked
    ) r
   order by r.position, r.intent_id
   limit $3::bigint
)
delete from intendant.ready d using picked p
 where d.queue = p.queue and d.kind = p.kind and d.crashes = p.crashes and d.position = p.position
   and d.intent_id = p.intent_id
returning d.intent_id, d.position, d.started, d.locks, d.crashes::bigint
