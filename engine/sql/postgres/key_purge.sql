-- Housekeeping: keys whose time is over, at most 1 of them; returns those that are gone. Index key_expired.
delete from intendant.key k
 where (account, key) in (
       select d.account, d.key from intendant.key d
        where d.expires_at <= (select clock_timestamp()) order by d.expires_at limit $1::bigint for update skip locked)
returning key
