-- Subscriptions: what time it is, and of the transactions that write: before which number all have ended, and from which on nobody had
-- one. The snapshot knows of those that have ended and of what was running before the newest of them; the locks that each writer has
-- on its own number tell of the others (their numbers have 32 bits). The time is from before both.
select (extract(epoch from now()) * 1000000)::bigint, s.oldest,
       greatest(s.next, (
         select s.next + 1 + max(((l.transactionid::text::bigint - s.next % 4294967296 + 6442450944) % 4294967296) - 2147483648)
           from pg_locks l where l.locktype = 'transactionid'
       ))
  from (select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as oldest,
               pg_snapshot_xmax(pg_current_snapshot())::text::bigint as next) s
