-- Subscriptions: what time it is. SQLite's transactions have no numbers: there is one writer, which reads the clock when the one before
-- it has committed. 1 now.
select ?1, null, null
