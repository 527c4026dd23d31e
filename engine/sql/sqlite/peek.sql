-- Idle worker: in which of these queues is there anything to claim, and in which a suspect, or something of a kind that is being
-- tried; when is the next timer due (microseconds from now); and is there a message that nobody has counted, or somebody who is to
-- stop, by plain SQL or by a rule, and has not been asked to? And how often have people said something of queues?
-- One look into an index for each queue and kind, however many tasks there are.
-- 1 queue, kind, whether that is being tried; 2 now.
select (select json_group_array(distinct lane.value ->> 0) from jsonb_each(?1) lane
         where not lane.value ->> 2
           and exists (select 1 from intendant_ready r
                        where r.queue = lane.value ->> 0 and r.kind = lane.value ->> 1)),
       (select json_group_array(distinct lane.value ->> 0) from jsonb_each(?1) lane
         where exists (select 1 from intendant_ready r
                        where r.queue = lane.value ->> 0 and r.kind = lane.value ->> 1
                          and r.crashes > iif(lane.value ->> 2, -2, 0))),
       (select max(due_at, 0) - ?2 from intendant_parked where due_at is not null order by due_at limit 1),
       exists (select 1 from intendant_signal where counted = 0),
       exists (select 1 from intendant_cancel_request)
         or exists (select 1 from intendant_link where relation = 'superseded by' and asked_at is null),
       (select version from intendant_control where id = 1)
