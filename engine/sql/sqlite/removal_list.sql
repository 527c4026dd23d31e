-- Retention: what was removed, the latest day first. Primary key. 1 at most.
select day, kind, what, intents, last_at from intendant_removal r order by r.day desc, r.kind, r.what limit ?1
