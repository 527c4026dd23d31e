-- Idle worker: is there anything in these lanes, any suspect, when is the next timer due (microseconds from now), and is
-- there a message that nobody has counted, or somebody who is to stop, by plain SQL or by a rule, and has not been asked
-- to? And how often have people said something of queues?
-- 1–2 queue, kind.
select exists (
         select from unnest($1::text[], $2::text[]) as lane (queue, kind)
          where exists (select from intendant.ready r where r.queue = lane.queue and r.kind = lane.kind)),
       exists (
         select from unnest($1::text[], $2::text[]) as lane (queue, kind)
          where exists (select from intendant.ready r
                         where r.queue = lane.queue and r.kind = lane.kind and r.crashes > 0)),
       (select (extract(epoch from greatest(due_at, 'epoch') - clock_timestamp()) * 1000000)::bigint
          from intendant.parked where due_at is not null and due_at < 'infinity' order by due_at limit 1),
       exists (select from intendant.signal where not counted),
       exists (select from intendant.cancel_request)
         or exists (select from intendant.link where relation = 'superseded by' and asked_at is null),
       (select version from intendant.control where id = 1)
