-- Retention: which of these intents have to stay, and so their trees: those that are unfinished, since a person has resumed them
-- after their root, and those that hold something, which nobody lets go but a person. Primary keys; index intendant_holder_by_intent.
-- 1 intents.
select i.id, i.root_id, (select min(h.resource) from intendant_holder h where h.intent_id = i.id)
  from intendant_intent i left join intendant_outcome o on o.intent_id = i.id
 where i.id in (select n.value from jsonb_each(?1) n) and (o.intent_id is null or exists (select 1 from intendant_holder h where h.intent_id = i.id))
