-- Tick: what failed children hold goes to those that are asked for in their place and want it in the same way.
-- holder_by_intent. 1–2 failed child, the one in its place.
update intendant.holder h set intent_id = n.next
  from unnest($1::uuid[], $2::uuid[]) as n (failed, next)
 where h.intent_id = n.failed
   and exists (select from intendant.resource r
                where r.intent_id = n.next and r.resource = h.resource and r.mode = h.mode)
