-- Why: the sessions, how many milliseconds they have been silent, and whether each serves a queue and knows a kind of it.
-- 1 queue, 2 kind, 3 limit.
select s.worker, (extract(epoch from clock_timestamp() - s.beat_at) * 1000)::bigint, s.lease_ms, s.free, s.leaving,
       exists (select from intendant.session_kind k where k.session_id = s.id and k.queue = $1::text),
       exists (select from intendant.session_kind k
                where k.session_id = s.id and k.kind = $2::text and k.queue = $1::text)
  from intendant.session s order by s.worker, s.id limit $3::bigint
