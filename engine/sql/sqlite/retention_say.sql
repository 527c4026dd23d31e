-- Retention: what a person says; returns whether that is anything else than before. Primary key.
-- 1 kind, 2 state, 3 rows, 4 payloads, 5 who, 6 why, 7 now.
insert into intendant_retention as r (kind, state, said, rows_us, payloads_us, revision, said_at, said_by, reason)
values (?1, ?2, 'person', ?3, ?4, 0, ?7, ?5, ?6)
on conflict (kind, state, said) do update
   set rows_us = excluded.rows_us, payloads_us = excluded.payloads_us, said_at = excluded.said_at,
       said_by = excluded.said_by, reason = excluded.reason
 where r.rows_us is not excluded.rows_us
    or r.payloads_us is not excluded.payloads_us
returning kind
