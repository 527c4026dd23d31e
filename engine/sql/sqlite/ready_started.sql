-- Undo of what succeeded: one that has just been put into *ready* has something to load. Primary keys. 1 intent.
update intendant_ready set started = 1
 where (queue, kind, crashes, position, intent_id) = (select queue, kind, 0, position, id from intendant_intent where id = ?1)
