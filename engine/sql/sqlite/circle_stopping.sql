-- Circle: who of these is to stop: nobody waits for it for ever. Primary keys.
select c.intent_id from intendant_cancel c where c.intent_id in (select n.value from jsonb_each(?1) n)
 union
select l.intent_id from intendant_link l where l.relation = 'superseded by' and l.asked_at is null and l.intent_id in (select n.value from jsonb_each(?1) n)
