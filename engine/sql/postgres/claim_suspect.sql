-- Claim: takes one suspect of some lanes out of *ready* (P6). 1 queue, 2 kinds.
with picked as materialized (
  select r.queue, r.kind, r.crashes, r.position, r.intent_id
    from unnest($2::text[]) as lane (kind)
    cross join lateral (
      select r.queue, r.kind, r.crashes, r.position, r.intent_id
        from intendant.ready r
       where r.queue = $1::text and r.kind = lane.kind and r.crashes > 0
       order by r.crashes, r.position, r.intent_id
       limit 1
         for update skip locked
    ) r
   limit 1
)
delete from intendant.ready d using picked p
 where d.queue = p.queue and d.kind = p.kind and d.crashes = p.crashes and d.position = p.position
   and d.intent_id = p.intent_id
returning d.intent_id, d.position, d.started, d.locks, d.crashes::bigint
