-- Retention: how many payloads of these intents there are that can be many, counted to 2 in each table. Indexes that begin with
-- the intent. 1 intents, 2 enough.
select (select count(*) from (select 1 from intendant_step where intent_id in (select n.value from jsonb_each(?1) n)
                                and (output <> 'null' or progress is not null) limit ?2) f)
     + (select count(*) from (select 1 from intendant_signal where intent_id in (select n.value from jsonb_each(?1) n)
                                and payload <> 'null' limit ?2) f)
     + (select count(*) from (select 1 from intendant_revision where intent_id in (select n.value from jsonb_each(?1) n)
                                and input <> 'null' limit ?2) f)
     + (select count(*) from (select 1 from intendant_checkpoint where intent_id in (select n.value from jsonb_each(?1) n) limit ?2) f)
