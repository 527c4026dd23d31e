-- Housekeeping: of what nothing new has come for long nothing is told any more. Walks the table, which is small by this.
-- 1 how long it is kept (microseconds), 2 now.
delete from intendant_notice where last_at <= ?2 - ?1
