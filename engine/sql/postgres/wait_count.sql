-- Tick: counts new messages in the wait rows of their intents, which it makes where there are none: a driver that is about
-- to make one waits for this, and sees them then. Nobody waits for those of finished intents. Returns the intents that have
-- enough to go on. 1–2 intent, how many.
insert into intendant.wait as w (intent_id, arrived)
select n.intent_id, n.arrived
  from unnest($1::uuid[], $2::bigint[]) as n (intent_id, arrived)
 where not exists (select from intendant.outcome o where o.intent_id = n.intent_id)
 order by n.intent_id
on conflict (intent_id) do update set arrived = w.arrived + excluded.arrived
returning w.intent_id, coalesce(w.arrived >= w.wake_at, false)
