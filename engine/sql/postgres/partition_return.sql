-- Tick, reap and close: these tasks are in nobody's hands any more. The queues are locked, by `slot_lock` or `slot_hold`;
-- primary keys. 1 tasks; 2–4 queue, partition, how many of them. Returns how many are left in hand.
with gone as (
  delete from intendant.partition_task where task_id = any ($1::uuid[])
)
update intendant.partition p set lent = p.lent - n.back
  from unnest($2::text[], $3::text[], $4::bigint[]) as n (queue, name, back)
 where p.queue = n.queue and p.name = n.name
returning p.queue, p.name, p.lent
