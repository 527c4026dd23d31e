-- Retention: the payloads of these intents, where JSON null takes the place of what must be there; their checkpoints go. Errors,
-- logs, measurements and events stay. Each by its primary key or an index that begins with the intent. 1 intents, 2 now.
update intendant_outcome set output = null, payload_removed_at = coalesce(payload_removed_at, ?2)
 where intent_id in (select n.value from jsonb_each(?1) n);
update intendant_step set output = case when output is not null then 'null' end, progress = null
 where intent_id in (select n.value from jsonb_each(?1) n) and (output is not null or progress is not null);
update intendant_revision set input = 'null' where intent_id in (select n.value from jsonb_each(?1) n);
update intendant_signal set payload = 'null' where intent_id in (select n.value from jsonb_each(?1) n);
delete from intendant_checkpoint where intent_id in (select n.value from jsonb_each(?1) n);
update intendant_intent set input = 'null', payload_removed_at = coalesce(payload_removed_at, ?2)
 where id in (select n.value from jsonb_each(?1) n)
