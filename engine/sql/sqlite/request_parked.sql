-- Request: the tasks of intents that are to start later. 1 intents.
insert into intendant_parked (intent_id, reason, due_at)
select i.id, 'start time', i.run_at from intendant_intent i
 where i.id in (select n.value from jsonb_each(?1) n) and i.run_at > i.requested_at
