-- Retention: some payloads of intents that lose them and have more than one transaction should remove, 2 of each table at most.
-- Indexes that begin with the intent. 1 intents, 2 at most.
with some_signal as (update intendant.signal set payload = 'null'
 where ctid = any (array (
    select ctid from intendant.signal where intent_id = any ($1::uuid[])
     and payload::text <> 'null' limit $2::bigint))),
some_revision as (update intendant.revision set input = 'null'
 where ctid = any (array (
    select ctid from intendant.revision where intent_id = any ($1::uuid[])
     and input::text <> 'null' limit $2::bigint))),
some_checkpoint as (delete from intendant.checkpoint where ctid = any (array (
    select ctid from intendant.checkpoint where intent_id = any ($1::uuid[]) limit $2::bigint)))
update intendant.step set output = case when output is not null then 'null'::json end, progress = null
 where ctid = any (array (
  select ctid from intendant.step where intent_id = any ($1::uuid[])
     and (output::text <> 'null' or progress is not null) limit $2::bigint))
