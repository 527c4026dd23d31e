-- Tick: new messages, at most 1, are counted from now on; returns whose they are, one row a message. Index signal_new;
-- skips what another tick is counting.
update intendant.signal s set counted = true
 where s.id = any (array (
   select id from intendant.signal where not counted order by id limit $1::bigint for update skip locked))
returning s.intent_id
