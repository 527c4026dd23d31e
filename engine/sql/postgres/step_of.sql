-- Resume and verbs: where the steps of these intents are, in their last generation. Primary key. 1 intents.
select distinct on (intent_id, name) intent_id, name, generation::bigint, state, due_at,
       waits is not null and spare is null
  from intendant.step where intent_id = any ($1::uuid[]) order by intent_id, name, generation desc
