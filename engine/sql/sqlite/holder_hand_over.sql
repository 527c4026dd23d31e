-- Tick: what failed children hold goes to those that are asked for in their place and want it in the same way.
-- holder_by_intent. 1–2 failed child, the one in its place.
update intendant_holder as h set intent_id = n.value ->> 1
  from jsonb_each(?1) n
 where h.intent_id = n.value ->> 0
   and exists (select 1 from intendant_resource r
                where r.intent_id = n.value ->> 1 and r.resource = h.resource and r.mode = h.mode)
