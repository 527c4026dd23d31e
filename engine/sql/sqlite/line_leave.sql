-- Admit and cancel: out of every line; returns which.
delete from intendant_line where intent_id in (select n.value from jsonb_each(?1) n) returning resource
