-- Claim: this session tries the kind, if there is anything of it in this queue and nobody has tried it of late; the next one does
-- after a longer while. Primary keys; one that somebody else is taking is not waited for. 1 kind, 2 until the next try
-- (microseconds), 3 queue.
update intendant.poison p set until = clock_timestamp() + $2::bigint * interval '1 microsecond'
 where p.kind = any (array (select d.kind from intendant.poison d where d.kind = $1::text for update skip locked))
   and p.until <= clock_timestamp()
   and exists (select from intendant.ready r where r.queue = $3::text and r.kind = $1::text)
returning p.kind
