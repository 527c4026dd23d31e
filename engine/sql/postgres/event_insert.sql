-- What a person did to these intents (I9). 1 actor, 2 verb, 3 reason; 4–5 intent, detail.
insert into intendant.event (intent_id, seq, at, actor, verb, reason, detail)
select n.intent_id, coalesce((select max(e.seq) from intendant.event e where e.intent_id = n.intent_id), 0) + 1,
       clock_timestamp(), $1::text, $2::text, $3::text, n.detail::json
  from unnest($4::uuid[], $5::text[]) as n (intent_id, detail)
