-- Reap: what is known of a kind whose intent has crashed its worker by itself. Primary key; locks the row, the last thing that
-- a reaper locks. 1 kind, 2 how long it is remembered (microseconds).
select intents::bigint, intent_id from intendant.poison
 where kind = $1::text and crashed_at > clock_timestamp() - $2::bigint * interval '1 microsecond'
   for update
