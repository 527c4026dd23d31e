-- Retention: the payloads of these intents, where JSON null takes the place of what must be there; their checkpoints go. Errors,
-- logs, measurements and events stay. Each by its primary key or an index that begins with the intent. 1 intents.
with blank_outcome as (
  update intendant.outcome set output = null, payload_removed_at = coalesce(payload_removed_at, clock_timestamp())
   where intent_id = any ($1::uuid[])),
blank_step as (
  update intendant.step set output = case when output is not null then 'null'::json end, progress = null
   where intent_id = any ($1::uuid[]) and (output is not null or progress is not null)),
blank_revision as (update intendant.revision set input = 'null' where intent_id = any ($1::uuid[])),
blank_signal as (update intendant.signal set payload = 'null' where intent_id = any ($1::uuid[])),
gone_checkpoint as (delete from intendant.checkpoint where intent_id = any ($1::uuid[]))
update intendant.intent set input = 'null', payload_removed_at = coalesce(payload_removed_at, clock_timestamp())
 where id = any ($1::uuid[])
