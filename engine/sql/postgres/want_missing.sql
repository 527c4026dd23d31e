-- Claim, after a lost answer: what these intents want to hold and do not. Primary keys.
select r.intent_id, min(r.resource) from intendant.resource r
 where r.intent_id = any ($1::uuid[]) and r.mode <> 'touched'
   and not exists (select from intendant.holder h where h.resource = r.resource and h.intent_id = r.intent_id)
 group by r.intent_id
