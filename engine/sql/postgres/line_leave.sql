-- Admit and cancel: out of every line; returns which.
delete from intendant.line where intent_id = any ($1::uuid[]) returning resource
