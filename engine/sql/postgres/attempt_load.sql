-- Claim of intents that have been in a lease before: their steps' last attempts. Primary key.
select distinct on (intent_id, step)
       intent_id, step, generation::bigint, attempt::bigint, (extract(epoch from retry_at - now()) * 1000000)::bigint
  from intendant.attempt where intent_id = any ($1::uuid[])
 order by intent_id, step, generation desc, attempt desc
