-- Retention: the children of these intents, at most 2 of them. Index intent_by_parent. 1 intents, 2 at most.
select i.id, i.root_id from intendant.intent i where i.parent_id = any ($1::uuid[]) limit $2::bigint
