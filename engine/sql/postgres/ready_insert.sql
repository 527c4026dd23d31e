-- Hand back, reap, resume: into *ready*. 1–4 intent, crashes, may have results, has to take its locks.
insert into intendant.ready (queue, kind, crashes, position, intent_id, started, locks)
select i.queue, i.kind, n.crashes, i.position, i.id, n.started, n.locks and i.locks
  from unnest($1::uuid[], $2::bigint[], $3::boolean[], $4::boolean[]) as n (intent_id, crashes, started, locks)
  join intendant.intent i on i.id = n.intent_id
