-- Tick, reap and close: partitions of which nobody has anything in hand any more. Primary key. 1–2 queue, partition.
delete from intendant.partition p using unnest($1::text[], $2::text[]) as n (queue, name)
 where p.queue = n.queue and p.name = n.name and p.lent = 0
