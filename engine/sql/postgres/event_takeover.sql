-- Reap: the engine's own note that these were taken from a dead session. 1 worker, 2 reason; 3–4 intent, crashes.
insert into intendant.event (intent_id, seq, at, actor, verb, reason, detail)
select n.intent_id, coalesce((select max(e.seq) from intendant.event e where e.intent_id = n.intent_id), 0) + 1,
       clock_timestamp(), 'intendant', 'take over', $2::text,
       json_build_object('worker', $1::text, 'crashes', n.crashes)
  from unnest($3::uuid[], $4::bigint[]) as n (intent_id, crashes)
