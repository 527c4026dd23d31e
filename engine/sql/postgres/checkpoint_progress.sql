-- cx.checkpoint, before the safe point is written: one that is another than the last is progress, and a suspect that makes
-- progress is none any more. Primary keys. 1 intent, 2 step, 3 generation, 4 value, 5 lease.
update intendant.lease set crashes = 0
 where id = $5::uuid and crashes > 0
   and not exists (select from intendant.checkpoint c
                    where c.intent_id = $1::uuid and c.step = $2::text and c.generation = $3::bigint and c.value::text = $4::text::json::text)
