-- Undo of what succeeded: one that has just been put into *ready* has something to load. Primary keys. 1 intent.
update intendant.ready r set started = true
  from intendant.intent i
 where i.id = $1::uuid and r.queue = i.queue and r.kind = i.kind and r.crashes = 0 and r.position = i.position
   and r.intent_id = i.id
