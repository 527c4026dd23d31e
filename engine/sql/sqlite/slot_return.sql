-- Reap and close: the slots that a session has go back to their queues. Primary keys. 1 session.
update intendant_queue as q set lent = q.lent - s.held from intendant_slot s where s.session_id = ?1 and s.queue = q.name;
delete from intendant_slot where session_id = ?1
