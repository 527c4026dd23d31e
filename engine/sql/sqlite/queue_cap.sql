-- Queue: an operator says how many tasks may be in line before it takes no more. Whoever says so counts next, unless that takes too
-- long. Primary key. 1 name, 2 how many, 3 how long in microseconds, 4 now.
insert into intendant_backlog as b (queue, cap, room, due_at) values (?1, ?2, ?2, ?4 + ?3)
on conflict (queue) do update
   set cap = excluded.cap, room = b.room + excluded.cap - b.cap, due_at = excluded.due_at, count = b.count + 1
 where b.cap <> excluded.cap
returning count
