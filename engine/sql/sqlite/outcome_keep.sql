-- Verbs that run something of a tree again: whether retention has begun to remove it; the
-- transaction has the writer. Primary keys. 1 intent.
select o.payload_removed_at from intendant_outcome o
 where o.intent_id in (select i.root_id from intendant_intent i where i.id = ?1 union all select ?1)
 order by o.intent_id
