-- Why: what one intent holds. Index holder_by_intent. 1 intent.
select resource from intendant.holder where intent_id = $1::uuid order by resource
