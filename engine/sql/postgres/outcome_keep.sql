-- Verbs that run something of a tree again: holds the outcomes of the intent and of its root, sorted, so that retention does not
-- remove the tree meanwhile; returns whether it has begun to. Primary keys. 1 intent.
select o.payload_removed_at from intendant.outcome o
 where o.intent_id in (select i.root_id from intendant.intent i where i.id = $1::uuid union all select $1::uuid)
 order by o.intent_id for update
