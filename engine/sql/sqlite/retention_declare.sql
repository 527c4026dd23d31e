-- Retention: what the code of a worker says, unless the same or a newer revision has been written down; returns whether it is
-- written. Primary key. 1 kind, 2 state, 3 rows, 4 payloads, 5 revision, 6 worker, 7 now.
insert into intendant_retention as r (kind, state, said, rows_us, payloads_us, revision, said_at, said_by)
values (?1, ?2, 'code', ?3, ?4, ?5, ?7, ?6)
on conflict (kind, state, said) do update
   set rows_us = excluded.rows_us, payloads_us = excluded.payloads_us, revision = excluded.revision,
       said_at = excluded.said_at, said_by = excluded.said_by
 where r.revision < excluded.revision
returning kind
