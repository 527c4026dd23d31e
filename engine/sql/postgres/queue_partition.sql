-- Queue: an operator says by what its tasks are told apart, and how many of one partition may be in hand at once; a queue whose
-- tasks do not take turns any more may have filed some, and one whose never did stays as it is. Primary key; locks the row. 1 name, 2 by, 3 limit.
insert into intendant.queue as q (name, partition_by, partition_limit) select $1::text, $2::text, $3::bigint
 where $2::text <> 'none' or exists (select from intendant.queue k where k.name = $1::text and k.partition_by is not null)
on conflict (name) do update set partition_by = excluded.partition_by, partition_limit = excluded.partition_limit
 where (coalesce(q.partition_by, 'none'), coalesce(q.partition_limit, 0))
       <> (excluded.partition_by, coalesce(excluded.partition_limit, 0))
returning name
