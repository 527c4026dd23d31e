-- Verbs that run something of a tree again: whoever looks through it to remove it begins anew. Primary keys. 1 intent.
update intendant.retention_large set look = null
 where intent_id = (select i.root_id from intendant.intent i where i.id = $1::uuid) and not goes
