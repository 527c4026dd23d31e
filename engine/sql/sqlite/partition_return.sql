-- Tick, reap and close: these tasks are in nobody's hands any more. Primary keys. 1 tasks; 2 queue, partition, how many of
-- them. Returns how many are left in hand.
delete from intendant_partition_task where task_id in (select n.value from jsonb_each(?1) n) and ?2 = ?2;
update intendant_partition as p set lent = p.lent - (n.value ->> 2)
  from jsonb_each(?2) n
 where p.queue = n.value ->> 0 and p.name = n.value ->> 1 and ?1 = ?1
returning queue, name, lent
