-- Claim of intents that have been in a lease before: what their steps have to say. Primary key, highest generation.
-- 1 intents, 2 now. (SQLite takes the other columns from the row that has the maximum.)
select intent_id, name, max(generation), state, attempt, forgiven, output, due_at - ?2, error, ?2 - begun_at
  from intendant_step where intent_id in (select n.value from jsonb_each(?1) n)
 group by intent_id, name
