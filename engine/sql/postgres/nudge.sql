-- Wake: tells the workers of other processes that there may be something to claim, if one of them could start it at
-- once. Never within a transaction that does anything else: a notification's commit takes a lock of the whole server.
-- 1 host, 2 process.
select pg_notify('intendant', '')
 where exists (select from intendant.session where free > 0 and (host, pid) <> ($1::text, $2::bigint))
