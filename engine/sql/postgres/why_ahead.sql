-- Why: how many are claimed before one in its lane; counts no further than the limit. Primary key.
-- 1 queue, 2 kind, 3 position, 4 intent, 5 limit.
select count(*)
  from (select 1 from intendant.ready r
         where r.queue = $1::text and r.kind = $2::text and r.crashes = 0
           and (r.position, r.intent_id) < ($3::bigint, $4::uuid) limit $5::bigint) a
