-- Claim, after a lost answer, and reap: what these intents want to hold and do not; not of those that are to stop, which are
-- claimed without it. Primary keys.
select r.intent_id, min(r.resource) from intendant_resource r
 where r.intent_id in (select n.value from jsonb_each(?1) n) and r.mode <> 'touched'
   and not exists (select 1 from intendant_holder h where h.resource = r.resource and h.intent_id = r.intent_id)
   and not exists (select 1 from intendant_cancel c where c.intent_id = r.intent_id)
 group by r.intent_id
