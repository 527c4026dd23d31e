-- Tokens: all of them after one, in the order in which they were made, each with whether it is good at this moment; a walk along
-- the primary key. 1 after this one, null from the beginning; 2 how many.
select id, name, scope, account, created_at, created_by, expires_at, revoked_at, revoked_by,
       revoked_at is null and (expires_at is null or expires_at > clock_timestamp())
  from intendant.token where $1::uuid is null or id > $1::uuid order by id limit $2::bigint
