-- Tick: slots go from queues to a session, or back; and since when it waits for more: as before, or as of now. The queues are
-- locked, by `slot_lock`; primary keys. Who begins to wait is behind those who do, also if the clock was set back since.
-- 1 session; 2–7 queue, how many more, how many the session has then, whether it waits, whether as of now, since when the last of
-- the others waits (microseconds).
with moved as (
  select m.queue, m.more, m.held, m.waits, m.anew,
         greatest(clock_timestamp(), 'epoch'::timestamptz + (m.behind_us + 1) * interval '1 microsecond') as since
    from unnest($2::text[], $3::bigint[], $4::bigint[], $5::boolean[], $6::boolean[], $7::bigint[])
      as m (queue, more, held, waits, anew, behind_us)
), lent as (
  update intendant.queue q set lent = q.lent + m.more from moved m where q.name = m.queue and m.more <> 0
)
insert into intendant.slot as s (session_id, queue, held, hungry_at)
select $1::uuid, m.queue, m.held, case when m.waits then m.since end from moved m
on conflict (session_id, queue) do update
   set held = excluded.held,
       hungry_at = case when (select m.anew from moved m where m.queue = s.queue) then excluded.hungry_at
                        when excluded.hungry_at is not null then coalesce(s.hungry_at, excluded.hungry_at) end
