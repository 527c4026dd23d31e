-- Slots of a limited queue go round: since when a session waits for more than it has. Who has waited longest comes first, and who
-- has more than an equal share gives slots up for who waits. A worker of before does not wait in line, and gives up nothing.
alter table intendant.slot add column hungry_at timestamptz;
