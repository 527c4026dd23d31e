-- Claim: a session has tasks of partitions with a limit in hand. Primary keys. 1 session; 2 task, queue, partition.
insert into intendant_partition_task (task_id, queue, partition, session_id)
select n.value ->> 0, n.value ->> 1, n.value ->> 2, ?1 from jsonb_each(?2) n;
insert into intendant_partition as p (queue, name, lent)
select n.value ->> 1, n.value ->> 2, count(*) from jsonb_each(?2) n where ?1 = ?1 group by n.value ->> 1, n.value ->> 2
on conflict (queue, name) do update set lent = p.lent + excluded.lent
