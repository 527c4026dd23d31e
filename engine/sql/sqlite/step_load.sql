-- Claim of intents that have been in a lease before: what their steps have to say. Primary key, highest generation.
-- 1 intents, 2 now. (SQLite takes the other columns from the row that has the maximum.)
select intent_id, name, max(generation), state, attempt, forgiven, output, due_at - ?2, error,
       exists (select 1 from intendant_checkpoint c where c.intent_id = s.intent_id and c.step = s.name)
  from intendant_step s where intent_id in (select n.value from jsonb_each(?1) n)
 group by intent_id, name
