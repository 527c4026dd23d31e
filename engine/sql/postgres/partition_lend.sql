-- Claim: a session has tasks of partitions with a limit in hand. The queues are locked, by `slot_lock`; primary keys.
-- 1 session; 2–4 task, queue, partition.
with n (task_id, queue, partition) as (
  select * from unnest($2::uuid[], $3::text[], $4::text[])
), held as (
  insert into intendant.partition_task (task_id, queue, partition, session_id)
  select n.task_id, n.queue, n.partition, $1::uuid from n
)
insert into intendant.partition as p (queue, name, lent)
select n.queue, n.partition, count(*) from n group by n.queue, n.partition
on conflict (queue, name) do update set lent = p.lent + excluded.lent
