-- Tokens: a new one. 1 id, 2 name, 3 hash of the secret, 4 scope, 5 account, 6 who made it, 7 when it expires (microseconds
-- since 1970), 8 now.
insert into intendant_token (id, name, secret_hash, scope, account, created_at, created_by, expires_at)
values (?1, ?2, ?3, ?4, ?5, ?8, ?6, ?7)
