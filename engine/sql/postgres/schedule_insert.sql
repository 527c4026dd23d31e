-- Schedule: declared for the first time; another worker may do so at the same time. Primary key.
-- 1 name, 2 kind, 3 cron, 4 zone, 5 every (microseconds), 6 starts at, 7 catch-up, 8 its limit, 9 overlap, 10 revision,
-- 11 worker, 12 now, 13 the first tick (all times in microseconds since 1970).
insert into intendant.schedule (name, kind, cron, zone, every_us, starts_at, catch_up, catch_up_limit, overlap, revision,
                                declared_by, declared_at, last_at, next_at)
select $1::text, $2::text, $3::text, $4::text, $5::bigint, 'epoch'::timestamptz + $6::bigint * interval '1 microsecond',
       $7::text, $8::bigint, $9::text, $10::bigint, $11::text, t.now, t.now,
       'epoch'::timestamptz + $13::bigint * interval '1 microsecond'
  from (select 'epoch'::timestamptz + $12::bigint * interval '1 microsecond' as now) t
on conflict (name) do nothing
returning name
