-- Tick, cx.transaction, skip, rerun: these steps have a result or are in a later generation, and their safe points are of
-- no use any more. Primary key. 1 intent, step, generation.
delete from intendant_checkpoint where rowid in (
  select c.rowid from jsonb_each(?1) n
   cross join intendant_checkpoint c
   where c.intent_id = n.value ->> 0 and c.step = n.value ->> 1 and c.generation <= n.value ->> 2)
