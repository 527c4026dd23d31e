-- Retention: this tree is too large for one transaction; its root is at rest, and is not looked for any more. Primary key.
-- 1 root, 2 rows or payloads, 3 its kind, 4 its state.
insert into intendant_retention_large (intent_id, what, kind, state) values (?1, ?2, ?3, ?4)
on conflict (intent_id, what) do update set kind = excluded.kind, state = excluded.state where not goes
