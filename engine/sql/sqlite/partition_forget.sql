-- Tick, reap and close: partitions of which nobody has anything in hand any more. Primary key. 1 queue, partition.
delete from intendant_partition
 where (queue, name) in (select n.value ->> 0, n.value ->> 1 from jsonb_each(?1) n) and lent = 0
