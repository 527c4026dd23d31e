-- Claim and reap, one by one: what followed the savepoint is taken back.
rollback to savepoint one
