-- After a lost answer: the slots that a session has. Primary key. 1 session.
select queue, held from intendant_slot where session_id = ?1
