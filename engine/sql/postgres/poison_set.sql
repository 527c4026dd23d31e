-- Reap: an intent of this kind has crashed its worker by itself. Primary key.
-- 1 kind, 2 how many different ones in a row, 3 the intent, 4 how long the kind is not tried (microseconds).
insert into intendant.poison (kind, intents, intent_id, crashed_at, until)
values ($1::text, $2::bigint, $3::uuid, clock_timestamp(), clock_timestamp() + $4::bigint * interval '1 microsecond')
on conflict (kind) do update
   set intents = excluded.intents, intent_id = excluded.intent_id, crashed_at = excluded.crashed_at,
       until = excluded.until
