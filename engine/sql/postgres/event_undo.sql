-- Tick: the engine's own note that these are taken back. 1–2 intent, why.
insert into intendant.event (intent_id, seq, at, actor, verb, reason)
select n.intent_id, coalesce((select max(e.seq) from intendant.event e where e.intent_id = n.intent_id), 0) + 1,
       clock_timestamp(), 'intendant', 'undo', n.reason
  from unnest($1::uuid[], $2::text[]) as n (intent_id, reason)
