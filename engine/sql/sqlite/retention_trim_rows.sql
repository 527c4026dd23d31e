-- Retention: some rows of intents that go and have more of them than one transaction should remove, 2 of each table at most.
-- Indexes that begin with the intent. 1 intents, 2 at most.
delete from intendant_step where (intent_id, name, generation) in (
  select intent_id, name, generation from intendant_step where intent_id in (select n.value from jsonb_each(?1) n) limit ?2);
delete from intendant_attempt where (intent_id, step, generation, attempt) in (
  select intent_id, step, generation, attempt from intendant_attempt where intent_id in (select n.value from jsonb_each(?1) n) limit ?2);
delete from intendant_event where (intent_id, seq) in (
  select intent_id, seq from intendant_event where intent_id in (select n.value from jsonb_each(?1) n) limit ?2);
delete from intendant_log where rowid in (
  select rowid from intendant_log where intent_id in (select n.value from jsonb_each(?1) n) limit ?2);
delete from intendant_measure where (intent_id, step, generation, attempt, name) in (
  select intent_id, step, generation, attempt, name from intendant_measure where intent_id in (select n.value from jsonb_each(?1) n) limit ?2);
delete from intendant_signal where id in (
  select id from intendant_signal where intent_id in (select n.value from jsonb_each(?1) n) limit ?2);
delete from intendant_checkpoint where rowid in (
  select rowid from intendant_checkpoint where intent_id in (select n.value from jsonb_each(?1) n) limit ?2);
delete from intendant_revision where (intent_id, seq) in (
  select intent_id, seq from intendant_revision where intent_id in (select n.value from jsonb_each(?1) n) limit ?2);
delete from intendant_link where (intent_id, relation, other_id) in (
  select intent_id, relation, other_id from intendant_link where intent_id in (select n.value from jsonb_each(?1) n) limit ?2)
