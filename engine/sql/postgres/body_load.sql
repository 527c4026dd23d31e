-- Admit: whether intents are the same. What is to stop is the same as nothing: who joined it would be stopped with it. Primary
-- keys.
select i.id, coalesce(i.account, ''), i.input from intendant.intent i
 where i.id = any ($1::uuid[]) and not exists (select from intendant.cancel c where c.intent_id = i.id)
