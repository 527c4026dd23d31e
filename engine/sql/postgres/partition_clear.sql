-- Queue: its partitions have no limit any more, so nothing is counted. Its row is locked; walks small tables. 1 name.
with gone as (
  delete from intendant.partition_task where queue = $1::text
)
delete from intendant.partition where queue = $1::text
