-- Admit: of which kinds and accounts these intents are, for their conflict rules. Primary key.
select id, kind, coalesce(account, '') from intendant.intent where id = any ($1::uuid[])
