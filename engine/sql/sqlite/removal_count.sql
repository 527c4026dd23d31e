-- Retention: what is about to be removed, counted by day and kind. Primary key. 1 intents, 2 rows or payloads, 3 now.
insert into intendant_removal as r (day, kind, what, intents, last_at)
select strftime('%Y-%m-%d', ?3 / 1e6, 'unixepoch'), i.kind, ?2, count(*), ?3
  from intendant_intent i where i.id in (select n.value from jsonb_each(?1) n) group by i.kind
on conflict (day, kind, what) do update set intents = r.intents + excluded.intents, last_at = excluded.last_at
