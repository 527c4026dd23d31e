-- Claim: this session tries the kind; the next one does after a longer while. Primary key.
-- 1 kind, 2 until the next try (microseconds), 3 now.
update intendant_poison set until = ?3 + ?2 where kind = ?1
