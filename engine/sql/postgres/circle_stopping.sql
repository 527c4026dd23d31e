-- Circle: who of these is to stop: nobody waits for it for ever. Primary keys.
select c.intent_id from intendant.cancel c where c.intent_id = any ($1::uuid[])
 union
select l.intent_id from intendant.link l where l.relation = 'superseded by' and l.asked_at is null and l.intent_id = any ($1::uuid[])
