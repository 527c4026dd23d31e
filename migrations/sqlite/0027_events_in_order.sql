-- Events in the order in which they took place, for those who have subscribed to what becomes of intents. (Ends have had an index
-- by time since 0023.)
create index intendant_event_at on intendant_event (at, intent_id, seq);
