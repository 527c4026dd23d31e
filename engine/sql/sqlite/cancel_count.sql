-- After a COMMIT whose answer was lost: how often the session had been told to stop something. 1 session.
select cancels from intendant_session where id = ?1
