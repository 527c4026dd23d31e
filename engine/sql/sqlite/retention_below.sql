-- Retention: the children of these intents, at most 2 of them. Index intendant_intent_by_parent. 1 intents, 2 at most.
select i.id, i.root_id from intendant_intent i where i.parent_id in (select n.value from jsonb_each(?1) n) limit ?2
