-- What a person did (I9). 1 intent, 2 actor, 3 verb, 4 reason, 5 detail.
insert into intendant.event (intent_id, seq, at, actor, verb, reason, detail)
select $1::uuid, coalesce(max(e.seq), 0) + 1, clock_timestamp(), $2::text, $3::text, $4::text, $5::text::json
  from intendant.event e where e.intent_id = $1::uuid
