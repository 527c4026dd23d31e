-- Admit and finish: who stands in line for these resources. Primary key.
select resource, intent_id, mode, position, sharing from intendant.line where resource = any ($1::text[])
 order by resource, position, intent_id
