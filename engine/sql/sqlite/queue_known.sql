-- Queue: whether anybody has ever named it: a kind's own, one that a live worker serves, one in which something waits, one of which
-- people have said something. Primary keys; the kinds and sessions, which are few, are walked. 1 name.
select exists (select 1 from intendant_queue q where q.name = ?1)
       or exists (select 1 from intendant_kind k where k.queue = ?1)
       or exists (select 1 from intendant_session_kind k where k.queue = ?1)
       or exists (select 1 from intendant_ready r where r.queue = ?1)
