-- Admit and finish: who stands in line for these resources. Primary key.
select resource, intent_id, mode, position from intendant.line where resource = any ($1::text[])
