-- Hand back, reap, resume: into *ready*. 1 intent, crashes, may have results, has to take its locks.
insert into intendant_ready (queue, kind, crashes, position, intent_id, started, locks)
select i.queue, i.kind, n.value ->> 1, i.position, i.id, n.value ->> 2, (n.value ->> 3) and i.locks
  from jsonb_each(?1) n join intendant_intent i on i.id = n.value ->> 0
