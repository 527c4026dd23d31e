-- Tokens: a new one. 1 id, 2 name, 3 hash of the secret, 4 scope, 5 account, 6 who made it, 7 when it expires (microseconds
-- since 1970).
insert into intendant.token (id, name, secret_hash, scope, account, created_at, created_by, expires_at)
values ($1::uuid, $2::text, $3::text, $4::text, $5::text, clock_timestamp(), $6::text, to_timestamp($7::bigint / 1000000.0))
