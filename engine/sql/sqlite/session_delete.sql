-- Reap and close: the session; its kinds go with it (foreign keys are on for the writer).
delete from intendant_session where id = ?1
