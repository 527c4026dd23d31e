-- Admit: out of every line.
delete from intendant_line where intent_id in (select n.value from jsonb_each(?1) n)
