-- Tokens: one by its id, with whether it is good at this moment; by the primary key. 1 id.
select id, name, scope, account, created_at, created_by, expires_at, revoked_at, revoked_by,
       revoked_at is null and (expires_at is null or expires_at > clock_timestamp()), secret_hash
  from intendant.token where id = $1::uuid
