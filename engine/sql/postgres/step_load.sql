-- Claim of intents that have been in a lease before: what their steps have to say, and which are under way in another
-- queue. Primary key, highest generation.
select distinct on (intent_id, name)
       intent_id, name, generation::bigint, state, attempt::bigint, forgiven::bigint, output,
       (extract(epoch from due_at - now()) * 1000000)::bigint, error, reason, queue,
       queue is not null and exists (
         select from intendant.routed r
          where r.intent_id = s.intent_id and r.step = s.name and r.generation = s.generation), spare::bigint, waits,
       exists (select from intendant.checkpoint c where c.intent_id = s.intent_id and c.step = s.name),
       (extract(epoch from now() - begun_at) * 1000000)::bigint
  from intendant.step s where intent_id = any ($1::uuid[])
 order by intent_id, name, generation desc
