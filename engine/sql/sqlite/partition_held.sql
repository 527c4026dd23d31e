-- Tick: how many of these tasks are counted in which partitions. Primary key. 1 tasks.
select queue, partition, count(*) from intendant_partition_task
 where task_id in (select n.value from jsonb_each(?1) n) group by queue, partition
