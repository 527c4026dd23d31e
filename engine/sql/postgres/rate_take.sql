-- Tick: permits of queues were taken, or given back: until when what they have permitted is paid off. The queues are locked, by
-- `slot_lock`; primary key. 1–2 queue, time in microseconds.
update intendant.queue q set rate_tat = to_timestamp(t.tat_us / 1000000.0)
  from unnest($1::text[], $2::bigint[]) as t (queue, tat_us)
 where q.name = t.queue
