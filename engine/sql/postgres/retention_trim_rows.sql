-- Retention: some rows of intents that go and have more of them than one transaction should remove, 2 of each table at most.
-- Indexes that begin with the intent. 1 intents, 2 at most.
with some_attempt as (delete from intendant.attempt where ctid = any (array (
    select ctid from intendant.attempt where intent_id = any ($1::uuid[]) limit $2::bigint))),
some_event as (delete from intendant.event where ctid = any (array (
    select ctid from intendant.event where intent_id = any ($1::uuid[]) limit $2::bigint))),
some_log as (delete from intendant.log where ctid = any (array (
    select ctid from intendant.log where intent_id = any ($1::uuid[]) limit $2::bigint))),
some_measure as (delete from intendant.measure where ctid = any (array (
    select ctid from intendant.measure where intent_id = any ($1::uuid[]) limit $2::bigint))),
some_signal as (delete from intendant.signal where ctid = any (array (
    select ctid from intendant.signal where intent_id = any ($1::uuid[]) limit $2::bigint))),
some_checkpoint as (delete from intendant.checkpoint where ctid = any (array (
    select ctid from intendant.checkpoint where intent_id = any ($1::uuid[]) limit $2::bigint))),
some_revision as (delete from intendant.revision where ctid = any (array (
    select ctid from intendant.revision where intent_id = any ($1::uuid[]) limit $2::bigint))),
some_link as (delete from intendant.link where ctid = any (array (
    select ctid from intendant.link where intent_id = any ($1::uuid[]) limit $2::bigint)))
delete from intendant.step where ctid = any (array (
  select ctid from intendant.step where intent_id = any ($1::uuid[]) limit $2::bigint))
