-- Tick: new messages, at most 1, are counted from now on; returns whose they are, one row a message. Index
-- intendant_signal_new.
update intendant_signal set counted = 1
 where id in (select id from intendant_signal where counted = 0 order by id limit ?1)
returning intent_id
