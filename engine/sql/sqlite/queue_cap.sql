-- Queue: an operator says how many tasks may be in line before it takes no more. It is looked at at once. Primary key. 1 name, 2 how many,
-- 3 now.
insert into intendant_backlog as b (queue, cap, room, due_at) values (?1, ?2, ?2, ?3)
on conflict (queue) do update set cap = excluded.cap, room = b.room + excluded.cap - b.cap, due_at = excluded.due_at
 where b.cap <> excluded.cap
returning queue
