-- Request: the labels, of intents that have any. 1 intent, name, value.
insert into intendant_label (intent_id, name, value)
select n.value ->> 0, n.value ->> 1, n.value ->> 2 from jsonb_each(?1) n
