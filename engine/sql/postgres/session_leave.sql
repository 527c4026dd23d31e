-- Stop: the session ends with steps that cannot be stopped. 1 session.
update intendant.session set leaving = true where id = $1::uuid
