-- Session and heartbeat: kinds that are tried one at a time, and when they may be again (microseconds from now). Walks the
-- table, which has what has crashed workers of late. 1 how many, 2 now.
select kind, intents, max(until, 0) - ?2 from intendant_poison where intents > 1 order by kind limit ?1
