-- Admit and finish: who stands in line for these resources. Primary key.
select resource, intent_id, mode, position, sharing from intendant_line
 where resource in (select n.value from jsonb_each(?1) n)
 order by resource, position, intent_id
