-- Queue: an operator says how many tasks may be in line before it takes no more. It is looked at at once. Primary key. 1 name, 2 how many.
insert into intendant.backlog as b (queue, cap, room, due_at) values ($1::text, $2::bigint, $2::bigint, clock_timestamp())
on conflict (queue) do update set cap = excluded.cap, room = b.room + excluded.cap - b.cap, due_at = excluded.due_at
 where b.cap <> excluded.cap
returning queue
