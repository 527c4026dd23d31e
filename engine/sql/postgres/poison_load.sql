-- Session and heartbeat: kinds that are tried one at a time, and when they may be again (microseconds from now). Walks the
-- table, which has what has crashed workers of late. 1 how many.
select kind, intents::bigint, (extract(epoch from until - clock_timestamp()) * 1000000)::bigint
  from intendant.poison where intents > 1 order by kind limit $1::bigint
