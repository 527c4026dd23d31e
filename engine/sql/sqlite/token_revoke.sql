-- Tokens: one is not good any more; who revoked it first stays. By the primary key. 1 id, 2 who, 3 now.
update intendant_token set revoked_at = coalesce(revoked_at, ?3), revoked_by = coalesce(revoked_by, ?2)
 where id = ?1 returning id
