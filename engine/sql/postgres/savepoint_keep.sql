-- Claim and reap, one by one: what followed the savepoint stays.
release savepoint one
