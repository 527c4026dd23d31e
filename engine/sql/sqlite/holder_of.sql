-- Admit and finish: who holds these resources. Primary key.
select resource, intent_id, mode, beside, covered from intendant_holder where resource in (select n.value from jsonb_each(?1) n)
