-- Claim of intents that have been in a lease before: what their steps have to say. Primary key, highest generation.
select distinct on (intent_id, name)
       intent_id, name, generation::bigint, state, attempt::bigint, forgiven::bigint, output,
       (extract(epoch from due_at - now()) * 1000000)::bigint, error,
       (extract(epoch from now() - begun_at) * 1000000)::bigint
  from intendant.step where intent_id = any ($1::uuid[])
 order by intent_id, name, generation desc
