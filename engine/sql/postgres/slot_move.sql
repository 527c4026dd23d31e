-- Tick: slots go from queues to a session, or back. The queues are locked, by `slot_lock`; primary keys.
-- 1 session; 2–4 queue, how many more, how many the session has then.
with moved as (
  select m.queue, m.more, m.held from unnest($2::text[], $3::bigint[], $4::bigint[]) as m (queue, more, held)
), lent as (
  update intendant.queue q set lent = q.lent + m.more from moved m where q.name = m.queue
)
insert into intendant.slot (session_id, queue, held) select $1::uuid, queue, held from moved
on conflict (session_id, queue) do update set held = excluded.held
