-- Retention: what is about to be removed, counted by day and kind. Primary key. 1 intents, 2 rows or payloads.
insert into intendant.removal as r (day, kind, what, intents, last_at)
select (clock_timestamp() at time zone 'UTC')::date, i.kind, $2::text, count(*), clock_timestamp()
  from intendant.intent i where i.id = any ($1::uuid[]) group by i.kind
on conflict (day, kind, what) do update set intents = r.intents + excluded.intents, last_at = excluded.last_at
