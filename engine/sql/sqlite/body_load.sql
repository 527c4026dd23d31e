-- Admit: whether intents are the same. Primary key.
select id, coalesce(account, ''), input from intendant_intent where id in (select n.value from jsonb_each(?1) n)
