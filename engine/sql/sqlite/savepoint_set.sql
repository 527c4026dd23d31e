-- Claim and reap, one by one: what follows may be refused by itself.
savepoint one
