-- Retention: everything that belongs to these intents, and they themselves. What stays: keys, which go when their time is over;
-- alerts, notices, schedules' ticks and other intents' links, which tell of something else. Each by its primary key or an index
-- that begins with the intent. 1 intents.
delete from intendant_resource where intent_id in (select n.value from jsonb_each(?1) n);
delete from intendant_label where intent_id in (select n.value from jsonb_each(?1) n);
delete from intendant_started where intent_id in (select n.value from jsonb_each(?1) n);
delete from intendant_step where intent_id in (select n.value from jsonb_each(?1) n);
delete from intendant_attempt where intent_id in (select n.value from jsonb_each(?1) n);
delete from intendant_event where intent_id in (select n.value from jsonb_each(?1) n);
delete from intendant_wait where intent_id in (select n.value from jsonb_each(?1) n);
delete from intendant_awaited where intent_id in (select n.value from jsonb_each(?1) n);
delete from intendant_signal where intent_id in (select n.value from jsonb_each(?1) n);
delete from intendant_link where intent_id in (select n.value from jsonb_each(?1) n);
delete from intendant_cancel where intent_id in (select n.value from jsonb_each(?1) n);
delete from intendant_cancel_request where intent_id in (select n.value from jsonb_each(?1) n);
delete from intendant_revision where intent_id in (select n.value from jsonb_each(?1) n);
delete from intendant_checkpoint where intent_id in (select n.value from jsonb_each(?1) n);
delete from intendant_measure where intent_id in (select n.value from jsonb_each(?1) n);
delete from intendant_log where intent_id in (select n.value from jsonb_each(?1) n);
delete from intendant_deadline where intent_id in (select n.value from jsonb_each(?1) n);
delete from intendant_untold where intent_id in (select n.value from jsonb_each(?1) n);
delete from intendant_routed where intent_id in (select n.value from jsonb_each(?1) n);
delete from intendant_holder where intent_id in (select n.value from jsonb_each(?1) n);
delete from intendant_line where intent_id in (select n.value from jsonb_each(?1) n);
delete from intendant_blocked where intent_id in (select n.value from jsonb_each(?1) n);
delete from intendant_parked where intent_id in (select n.value from jsonb_each(?1) n);
delete from intendant_retention_kept where intent_id in (select n.value from jsonb_each(?1) n);
delete from intendant_retention_large where intent_id in (select n.value from jsonb_each(?1) n);
delete from intendant_child where parent_id in (select n.value from jsonb_each(?1) n);
delete from intendant_child where child_id in (select n.value from jsonb_each(?1) n);
delete from intendant_outcome where intent_id in (select n.value from jsonb_each(?1) n);
delete from intendant_intent where id in (select n.value from jsonb_each(?1) n)
