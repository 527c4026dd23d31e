-- Retention: how many rows of these intents there are that can be many, counted to 2 in each table. Indexes that begin with the
-- intent. 1 intents, 2 enough.
select (select count(*) from (select 1 from intendant.step where intent_id = any ($1::uuid[]) limit $2::bigint) f)
     + (select count(*) from (select 1 from intendant.attempt where intent_id = any ($1::uuid[]) limit $2::bigint) f)
     + (select count(*) from (select 1 from intendant.event where intent_id = any ($1::uuid[]) limit $2::bigint) f)
     + (select count(*) from (select 1 from intendant.log where intent_id = any ($1::uuid[]) limit $2::bigint) f)
     + (select count(*) from (select 1 from intendant.measure where intent_id = any ($1::uuid[]) limit $2::bigint) f)
     + (select count(*) from (select 1 from intendant.signal where intent_id = any ($1::uuid[]) limit $2::bigint) f)
     + (select count(*) from (select 1 from intendant.checkpoint where intent_id = any ($1::uuid[]) limit $2::bigint) f)
     + (select count(*) from (select 1 from intendant.revision where intent_id = any ($1::uuid[]) limit $2::bigint) f)
     + (select count(*) from (select 1 from intendant.link where intent_id = any ($1::uuid[]) limit $2::bigint) f)
