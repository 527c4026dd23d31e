-- Why: the lines that one intent stands in. Index intendant_line_by_intent. 1 intent.
select resource, mode, position from intendant_line where intent_id = ?1 order by resource
