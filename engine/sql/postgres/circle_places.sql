-- Circle: in which lines these stand. line_by_intent.
select intent_id, resource, mode, position from intendant.line where intent_id = any ($1::uuid[])
