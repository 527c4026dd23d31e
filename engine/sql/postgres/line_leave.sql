-- Admit: out of every line.
delete from intendant.line where intent_id = any ($1::uuid[])
