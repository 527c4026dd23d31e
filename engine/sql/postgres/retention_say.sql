-- Retention: what a person says; returns whether that is anything else than before. Primary key.
-- 1 kind, 2 state, 3 rows, 4 payloads, 5 who, 6 why.
insert into intendant.retention as r (kind, state, said, rows_us, payloads_us, revision, said_at, said_by, reason)
values ($1::text, $2::text, 'person', $3::bigint, $4::bigint, 0, clock_timestamp(), $5::text, $6::text)
on conflict (kind, state, said) do update
   set rows_us = excluded.rows_us, payloads_us = excluded.payloads_us, said_at = excluded.said_at,
       said_by = excluded.said_by, reason = excluded.reason
 where r.rows_us is distinct from excluded.rows_us
    or r.payloads_us is distinct from excluded.payloads_us
returning kind
