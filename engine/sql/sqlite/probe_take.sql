-- Claim: this session tries the kind, if there is anything of it in this queue and nobody has tried it of late; the next one does
-- after a longer while. Primary keys. 1 kind, 2 until the next try (microseconds), 3 queue, 4 now.
update intendant_poison set until = ?4 + ?2
 where kind = ?1 and until <= ?4 and exists (select 1 from intendant_ready r where r.queue = ?3 and r.kind = ?1)
returning kind
