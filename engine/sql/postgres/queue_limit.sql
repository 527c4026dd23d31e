-- Queue: an operator says how many of its steps may run at once; null: as many as there are workers for. Primary key; locks the
-- row. 1 name, 2 slots.
insert into intendant.queue as q (name, slots) values ($1::text, $2::bigint)
on conflict (name) do update set slots = excluded.slots, lent = case when excluded.slots is null then 0 else q.lent end
 where q.slots is distinct from excluded.slots
returning name
