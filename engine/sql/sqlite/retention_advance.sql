-- Retention: how far it has come. Primary key. 1 kind, 2 state, 3 rows or payloads, 4 finished (microseconds), 5 intent.
insert into intendant_retention_cursor (kind, state, what, finished_at, intent_id)
values (?1, ?2, ?3, ?4, ?5)
on conflict (kind, state, what) do update set finished_at = excluded.finished_at, intent_id = excluded.intent_id
