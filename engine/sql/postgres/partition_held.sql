-- Tick: how many of these tasks are counted in which partitions. Primary key. 1 tasks.
select queue, partition, count(*) from intendant.partition_task where task_id = any ($1::uuid[]) group by queue, partition
