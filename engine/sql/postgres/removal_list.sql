-- Retention: what was removed, the latest day first. Primary key. 1 at most.
select day::text, kind, what, intents, last_at from intendant.removal r order by r.day desc, r.kind, r.what limit $1::bigint
