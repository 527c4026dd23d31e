-- Stop: the session ends with steps that cannot be stopped. 1 session.
update intendant_session set leaving = 1 where id = ?1
