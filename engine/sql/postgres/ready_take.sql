-- Cancel: takes the tasks of these intents out of *ready*; they are locked. Primary key. 1 intents.
delete from intendant.ready r using intendant.intent i
 where i.id = any ($1::uuid[]) and r.queue = i.queue and r.kind = i.kind
   and r.crashes = any ('{0,1,2,3,4,5,6,7,8,9}'::smallint[]) and r.position = i.position and r.intent_id = i.id
returning r.intent_id, r.crashes::bigint
