-- Claim, after a lost answer, and reap: what these intents want to hold and do not; not of those that are to stop, which are
-- claimed without it. Primary keys.
select r.intent_id, min(r.resource) from intendant.resource r
 where r.intent_id = any ($1::uuid[]) and r.mode <> 'touched'
   and not exists (select from intendant.holder h where h.resource = r.resource and h.intent_id = r.intent_id)
   and not exists (select from intendant.cancel c where c.intent_id = r.intent_id)
 group by r.intent_id
