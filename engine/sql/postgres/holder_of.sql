-- Admit and finish: who holds these resources. Primary key.
select resource, intent_id, mode, beside, covered from intendant.holder where resource = any ($1::text[])
