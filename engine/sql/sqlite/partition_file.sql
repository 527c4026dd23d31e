-- Claim, in a queue whose tasks take turns: files what has come since by its partition, from both ends of its lanes: so one
-- that has come behind a hundred thousand others is filed at once, and none stays behind. The primary key. What cannot be
-- told apart is in a partition without a name. 1 queue, 2 kinds, 3 how many from each end.
update intendant_ready
   set crashes = -1,
       partition = coalesce((
         select substr(case
                  when q.partition_by = 'account' then i.account
                  when q.partition_by like 'resource:%' then (
                    select min(x.resource) from intendant_resource x
                     where x.intent_id = i.id and substr(x.resource, 1, instr(x.resource, ':') - 1) = substr(q.partition_by, 10))
                  when not json_valid(i.input) then null
                  else (
                    select case json_type(i.input, p.path) when 'text' then i.input ->> p.path when 'null' then null
                             else i.input -> p.path end
                      from (select '$."' || replace(substr(q.partition_by, 8), '/', '"."') || '"' as path) p)
                end, 1, 200)
           from intendant_intent i, intendant_queue q
          where q.name = ?1
            and i.id = iif(intendant_ready.routed,
                           (select t.intent_id from intendant_routed t where t.task_id = intendant_ready.intent_id),
                           intendant_ready.intent_id)), '')
 where exists (select 1 from intendant_queue q where q.name = ?1 and q.partition_by <> 'none')
   and (queue, kind, crashes, position, intent_id) in (
     select ?1, lane.value, 0, edge.value ->> 0, edge.value ->> 1
       from jsonb_each(?2) lane, jsonb_each((
         select jsonb_group_array(jsonb_array(r.position, r.intent_id))
           from (select position, intent_id from intendant_ready
                  where queue = ?1 and kind = lane.value and crashes = 0
                  order by position, intent_id limit ?3) r)) edge
     union all
     select ?1, lane.value, 0, edge.value ->> 0, edge.value ->> 1
       from jsonb_each(?2) lane, jsonb_each((
         select jsonb_group_array(jsonb_array(r.position, r.intent_id))
           from (select position, intent_id from intendant_ready
                  where queue = ?1 and kind = lane.value and crashes = 0
                  order by position desc, intent_id desc limit ?3) r)) edge)
