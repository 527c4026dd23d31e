-- Tick: counts new messages in the wait rows of their intents, which it makes where there are none. Nobody waits for those
-- of finished intents. Returns the intents that have enough to go on. 1 intent, how many.
insert into intendant_wait as w (intent_id, arrived)
select n.value ->> 0, n.value ->> 1
  from jsonb_each(?1) n
 where not exists (select 1 from intendant_outcome o where o.intent_id = n.value ->> 0)
on conflict (intent_id) do update set arrived = w.arrived + excluded.arrived
returning intent_id, coalesce(arrived >= wake_at, 0)
