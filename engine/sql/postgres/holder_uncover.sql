-- Finish: a failed child lets go of what an ancestor holds for it; returns what. holder_by_intent.
delete from intendant.holder where intent_id = any ($1::uuid[]) and covered returning resource
