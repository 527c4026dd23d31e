-- Schedule: declared for the first time; another worker may do so at the same time. Primary key.
-- 1 name, 2 kind, 3 cron, 4 zone, 5 every (microseconds), 6 starts at, 7 catch-up, 8 its limit, 9 overlap, 10 revision,
-- 11 worker, 12 now, 13 the first tick (all times in microseconds since 1970).
insert into intendant_schedule (name, kind, cron, zone, every_us, starts_at, catch_up, catch_up_limit, overlap, revision,
                                declared_by, declared_at, last_at, next_at)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12, ?13)
on conflict (name) do nothing
returning name
