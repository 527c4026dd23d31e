-- Retention: which of these intents have to stay, and so their trees: those that are unfinished, since a person has resumed them
-- after their root, and those that hold something, which nobody lets go but a person. Primary keys; index holder_by_intent.
-- 1 intents.
select i.id, i.root_id, (select min(h.resource) from intendant.holder h where h.intent_id = i.id)
  from intendant.intent i left join intendant.outcome o on o.intent_id = i.id
 where i.id = any ($1::uuid[]) and (o.intent_id is null or exists (select from intendant.holder h where h.intent_id = i.id))
