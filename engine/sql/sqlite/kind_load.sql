-- Admit: of which kinds and accounts these intents are, for their conflict rules. Primary key.
select id, kind, coalesce(account, '') from intendant_intent where id in (select n.value from jsonb_each(?1) n)
