-- Retention: some payloads of intents that lose them and have more than one transaction should remove, 2 of each table at most.
-- Indexes that begin with the intent. 1 intents, 2 at most.
update intendant_step set output = case when output is not null then 'null' end, progress = null
 where (intent_id, name, generation) in (
  select intent_id, name, generation from intendant_step where intent_id in (select n.value from jsonb_each(?1) n)
     and (output <> 'null' or progress is not null) limit ?2);
update intendant_signal set payload = 'null'
 where id in (
  select id from intendant_signal where intent_id in (select n.value from jsonb_each(?1) n)
     and payload <> 'null' limit ?2);
update intendant_revision set input = 'null'
 where (intent_id, seq) in (
  select intent_id, seq from intendant_revision where intent_id in (select n.value from jsonb_each(?1) n)
     and input <> 'null' limit ?2);
delete from intendant_checkpoint where rowid in (
  select rowid from intendant_checkpoint where intent_id in (select n.value from jsonb_each(?1) n) limit ?2)
