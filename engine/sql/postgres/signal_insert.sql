-- Signal: a message for an unfinished intent, once for a key; nothing comes back otherwise (`signal_find` says why). Takes
-- no lock that a tick waits for. 1 id, 2 intent, 3 name, 4 key, 5 payload, 6 sender.
insert into intendant.signal (id, intent_id, name, key, payload, sent_at, sent_by)
select $1::uuid, i.id, $3::text, $4::text, $5::text::json, clock_timestamp(), $6::text
  from intendant.intent i
 where i.id = $2::uuid and not exists (select from intendant.outcome o where o.intent_id = i.id)
on conflict (intent_id, name, key) where key is not null do nothing
returning id
