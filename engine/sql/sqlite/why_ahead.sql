-- Why: how many are claimed before one in its lane; counts no further than the limit. Primary key.
-- 1 queue, 2 kind, 3 position, 4 intent, 5 limit.
select count(*)
  from (select 1 from intendant_ready r
         where r.queue = ?1 and r.kind = ?2 and r.crashes = 0 and (r.position, r.intent_id) < (?3, ?4) limit ?5) a
