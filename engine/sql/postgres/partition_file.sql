-- Claim, in a queue whose tasks take turns: files what has come since by its partition, from both ends of its lanes: so one
-- that has come behind a hundred thousand others is filed at once, and none stays behind. The primary key; rows that
-- somebody else is taking are skipped. What cannot be told apart is in a partition without a name. 1 queue, 2 kinds, 3 how many from each end.
update intendant.ready d
   set crashes = -1,
       partition = coalesce((
         select left(case
                  when q.partition_by = 'account' then i.account
                  when q.partition_by like 'resource:%' then (
                    select min(x.resource collate "C") from intendant.resource x
                     where x.intent_id = i.id and split_part(x.resource, ':', 1) = substr(q.partition_by, 10))
                  else i.input #>> string_to_array(substr(q.partition_by, 8), '/')
                end, 200)
           from intendant.intent i
          where i.id = case when d.routed then (select t.intent_id from intendant.routed t where t.task_id = d.intent_id)
                            else d.intent_id end), '')
  from intendant.queue q
 where q.name = $1::text and q.partition_by <> 'none'
   and d.ctid = any (array(
     select r.ctid
       from unnest($2::text[]) as lane (kind)
       cross join lateral (
         select r.ctid from intendant.ready r
          where r.queue = $1::text and r.kind = lane.kind and r.crashes = 0
          order by r.position, r.intent_id limit $3::bigint
            for update skip locked) r
   ) || array(
     select r.ctid
       from unnest($2::text[]) as lane (kind)
       cross join lateral (
         select r.ctid from intendant.ready r
          where r.queue = $1::text and r.kind = lane.kind and r.crashes = 0
          order by r.position desc, r.intent_id desc limit $3::bigint
            for update skip locked) r))
