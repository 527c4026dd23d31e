-- Admit: whether intents are the same. Primary key.
select id, coalesce(account, ''), input from intendant.intent where id = any ($1::uuid[])
