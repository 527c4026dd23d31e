-- Finish: a failed child lets go of what an ancestor holds for it; returns what. holder_by_intent.
delete from intendant_holder where intent_id in (select n.value from jsonb_each(?1) n) and covered returning resource
