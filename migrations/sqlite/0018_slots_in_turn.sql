-- Slots of a limited queue go round: since when a session waits for more than it has. The comments of the other dialect hold here
-- too.
alter table intendant_slot add column hungry_at integer;
