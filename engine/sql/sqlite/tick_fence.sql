-- Tick, first statement: the session lives, and this tick has not been committed before.
update intendant_session set tick = ?2 where id = ?1 and tick = ?2 - 1 returning tick
