-- Queue: whether anybody has ever named it: a kind's own, one that a live worker serves, one in which something waits, one of which
-- people have said something. Primary keys; the kinds and sessions, which are few, are walked. 1 name.
select exists (select from intendant.queue q where q.name = $1::text)
       or exists (select from intendant.kind k where k.queue = $1::text)
       or exists (select from intendant.session_kind k where k.queue = $1::text)
       or exists (select from intendant.ready r where r.queue = $1::text)
