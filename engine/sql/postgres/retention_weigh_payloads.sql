-- Retention: how many payloads of these intents there are that can be many, counted to 2 in each table. Indexes that begin with
-- the intent. 1 intents, 2 enough.
select (select count(*) from (select 1 from intendant.step where intent_id = any ($1::uuid[])
                                and (output::text <> 'null' or progress is not null) limit $2::bigint) f)
     + (select count(*) from (select 1 from intendant.signal where intent_id = any ($1::uuid[])
                                and payload::text <> 'null' limit $2::bigint) f)
     + (select count(*) from (select 1 from intendant.revision where intent_id = any ($1::uuid[])
                                and input::text <> 'null' limit $2::bigint) f)
     + (select count(*) from (select 1 from intendant.checkpoint where intent_id = any ($1::uuid[]) limit $2::bigint) f)
