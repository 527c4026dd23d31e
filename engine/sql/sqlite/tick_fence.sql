-- Tick, first statement: the session lives, and this tick has not been committed before. Returns how often the session has been
-- told to stop something, how often people have said something of queues, and what time it is. 1 session, 2 number, 4 now.
-- (Whether the commit waits for the disk, 3, is said when the transaction begins.)
update intendant_session set tick = ?2 where id = ?1 and tick = ?2 - 1 and ?3 is not null returning cancels, (select version from intendant_control where id = 1), ?4
