-- Reap: what is known of a kind whose intent has crashed its worker by itself. Primary key.
-- 1 kind, 2 how long it is remembered (microseconds), 3 now.
select intents, intent_id from intendant_poison where kind = ?1 and crashed_at > ?3 - ?2
