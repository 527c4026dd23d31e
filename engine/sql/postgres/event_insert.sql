-- What was done to these intents (I9). Returns those of which it is written: where somebody else has taken the number meanwhile, it
-- is not. 1 actor, 2 verb; 3–5 intent, reason, detail.
insert into intendant.event (intent_id, seq, at, actor, verb, reason, detail)
select n.intent_id, coalesce((select max(e.seq) from intendant.event e where e.intent_id = n.intent_id), 0) + 1,
       clock_timestamp(), $1::text, $2::text, n.reason, n.detail::json
  from unnest($3::uuid[], $4::text[], $5::text[]) as n (intent_id, reason, detail)
 order by n.intent_id
on conflict (intent_id, seq) do nothing
returning intent_id
