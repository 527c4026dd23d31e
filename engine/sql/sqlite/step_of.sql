-- Resume and verbs: where the steps of these intents are, in their last generation. Primary key. 1 intents.
-- (SQLite takes the other columns from the row that has the maximum.)
select intent_id, name, max(generation), state, due_at, waits is not null and spare is null
  from intendant_step where intent_id in (select n.value from jsonb_each(?1) n) group by intent_id, name
