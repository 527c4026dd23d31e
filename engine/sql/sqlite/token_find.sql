-- Tokens: one by its id, with whether it is good at this moment; by the primary key. 1 id, 2 now.
select id, name, scope, account, created_at, created_by, expires_at, revoked_at, revoked_by,
       revoked_at is null and (expires_at is null or expires_at > ?2), secret_hash
  from intendant_token where id = ?1
