-- Housekeeping: of what nothing new has come for long nothing is told any more. Walks the table, which is small by this.
-- 1 how long it is kept (microseconds).
delete from intendant.notice where last_at <= clock_timestamp() - $1::bigint * interval '1 microsecond'
