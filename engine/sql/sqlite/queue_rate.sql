-- Queue: an operator says how many attempts at its steps may begin within a time; null: at any rate. What it has permitted already
-- counts on. Primary key; locks the row. 1 name, 2 steps, 3 period in milliseconds, 4 how many at once.
insert into intendant_queue as q (name, rate_steps, rate_period_ms, rate_burst) values (?1, ?2, ?3, ?4)
on conflict (name) do update
   set rate_steps = excluded.rate_steps, rate_period_ms = excluded.rate_period_ms, rate_burst = excluded.rate_burst
 where q.rate_steps is distinct from excluded.rate_steps
    or q.rate_period_ms is distinct from excluded.rate_period_ms
    or q.rate_burst is distinct from excluded.rate_burst
returning name
