-- Request: what the intents touch.
with n (intent_id, resource, mode) as (values (?, ?, ?) /* more rows */)
insert into intendant_resource (intent_id, resource, mode)
select n.intent_id, n.resource, n.mode from n where n.intent_id is not null
