-- Circle: in which lines these stand; not of those whose kind goes side by side with some, who may wait for nobody there. line_by_intent.
select intent_id, resource, mode, position from intendant.line where intent_id = any ($1::uuid[]) and not sharing
