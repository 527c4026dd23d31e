-- Tick, first statement: the session lives, and this tick has not been committed before. Locks the session's row against
-- a reaper until the commit.
update intendant.session set tick = $2::bigint where id = $1::uuid and tick = $2::bigint - 1 returning tick
