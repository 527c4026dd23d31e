-- Why: the sessions, how many milliseconds they have been silent, and whether each serves a queue and knows a kind of it.
-- 1 queue, 2 kind, 3 limit, 4 now.
select s.worker, (?4 - max(s.beat_at, 0)) / 1000, s.lease_ms, s.free, s.leaving,
       exists (select 1 from intendant_session_kind k where k.session_id = s.id and k.queue = ?1),
       exists (select 1 from intendant_session_kind k where k.session_id = s.id and k.kind = ?2 and k.queue = ?1)
  from intendant_session s order by s.worker, s.id limit ?3
