-- Why: what one intent holds. Index intendant_holder_by_intent. 1 intent.
select resource from intendant_holder where intent_id = ?1 order by resource
