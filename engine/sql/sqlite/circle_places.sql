-- Circle: in which lines these stand; not of those whose kind goes side by side with some, who may wait for nobody there. line_by_intent.
select intent_id, resource, mode, position from intendant_line
 where intent_id in (select n.value from jsonb_each(?1) n) and not sharing
