-- Why: the lines that one intent stands in. Index line_by_intent. 1 intent.
select resource, mode, position from intendant.line where intent_id = $1::uuid order by resource
