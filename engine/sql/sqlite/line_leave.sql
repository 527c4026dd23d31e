-- Admit: out of every line.
delete from intendant_line where intent_id in (select n.value ->> 0 from json_each(?1) n)
