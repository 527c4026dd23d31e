-- Admit: of which kinds these intents are, for their conflict rules. Primary key.
select id, kind from intendant.intent where id = any ($1::uuid[])
