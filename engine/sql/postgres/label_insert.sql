-- Request: the labels, of intents that have any. 1–3 intent, name, value.
insert into intendant.label (intent_id, name, value) select * from unnest($1::uuid[], $2::text[], $3::text[])
