-- cx.checkpoint, before the safe point is written: one that is another than the last is progress, and a suspect that makes
-- progress is none any more. Primary keys. 1 intent, 2 step, 3 generation, 4 value, 5 lease.
update intendant_lease set crashes = 0
 where id = ?5 and crashes > 0
   and not exists (select 1 from intendant_checkpoint c
                    where c.intent_id = ?1 and c.step = ?2 and c.generation = ?3 and c.value = ?4)
