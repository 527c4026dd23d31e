-- Tokens: one is not good any more; who revoked it first stays. By the primary key. 1 id, 2 who.
update intendant.token set revoked_at = coalesce(revoked_at, clock_timestamp()), revoked_by = coalesce(revoked_by, $2::text)
 where id = $1::uuid returning id
