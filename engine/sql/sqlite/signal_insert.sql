-- Signal: a message for an unfinished intent, once for a key; nothing comes back otherwise (`signal_find` says why).
-- 1 id, 2 intent, 3 name, 4 key, 5 payload, 6 sender, 7 now.
insert into intendant_signal (id, intent_id, name, key, payload, sent_at, sent_by)
select ?1, i.id, ?3, ?4, ?5, ?7, ?6
  from intendant_intent i
 where i.id = ?2 and not exists (select 1 from intendant_outcome o where o.intent_id = i.id)
on conflict (intent_id, name, key) where key is not null do nothing
returning id
