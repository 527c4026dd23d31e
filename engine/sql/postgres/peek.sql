-- Idle worker: in which of these queues is there anything to claim, and in which a suspect, or something of a kind that is being
-- tried; when is the next timer due (microseconds from now); and is there a message that nobody has counted, or somebody who is to
-- stop, by plain SQL or by a rule, and has not been asked to? And how often have people said something of queues?
-- One look into the primary key for each queue and kind, however many tasks there are: the limit keeps it from being a join, and
-- the order from being a walk.
-- 1–3 queue, kind, whether that is being tried.
select (select coalesce(json_agg(distinct lane.queue), '[]')::text
          from unnest($1::text[], $2::text[], $3::boolean[]) as lane (queue, kind, tried)
         cross join lateral (select from intendant.ready r where r.queue = lane.queue and r.kind = lane.kind
                              order by r.crashes, r.position, r.intent_id limit 1) found
         where not lane.tried),
       (select coalesce(json_agg(distinct lane.queue), '[]')::text
          from unnest($1::text[], $2::text[], $3::boolean[]) as lane (queue, kind, tried)
         cross join lateral (select from intendant.ready r where r.queue = lane.queue and r.kind = lane.kind
                                and r.crashes > case when lane.tried then -2 else 0 end
                              order by r.crashes, r.position, r.intent_id limit 1) found),
       (select (extract(epoch from greatest(due_at, 'epoch') - clock_timestamp()) * 1000000)::bigint
          from intendant.parked where due_at is not null and due_at < 'infinity' order by due_at limit 1),
       exists (select from intendant.signal where not counted),
       exists (select from intendant.cancel_request)
         or exists (select from intendant.link where relation = 'superseded by' and asked_at is null),
       (select version from intendant.control where id = 1)
