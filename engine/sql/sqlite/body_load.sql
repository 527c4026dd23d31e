-- Admit: whether intents are the same. What is to stop is the same as nothing: who joined it would be stopped with it. Primary
-- keys.
select i.id, coalesce(i.account, ''), i.input from intendant_intent i
 where i.id in (select n.value from jsonb_each(?1) n)
   and not exists (select 1 from intendant_cancel c where c.intent_id = i.id)
