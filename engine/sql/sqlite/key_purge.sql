-- Housekeeping: keys whose time is over, at most 1 of them; returns those that are gone. Index intendant_key_expired.
-- 1 at most, 2 now.
delete from intendant_key
 where (account, key) in (
       select d.account, d.key from intendant_key d indexed by intendant_key_expired
        where d.expires_at <= ?2 order by d.expires_at limit ?1)
returning key
