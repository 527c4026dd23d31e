-- Queue: its partitions have no limit any more, so nothing is counted. Walks small tables. 1 name.
delete from intendant_partition_task where queue = ?1;
delete from intendant_partition where queue = ?1
