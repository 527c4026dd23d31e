-- Queues, for people: all that anybody has named, what people have said of them, and how many live workers serve each. Walks
-- small tables.
select n.name, q.paused_at, q.paused_by, q.pause_reason, q.slots, q.lent,
       (select count(distinct k.session_id) from intendant.session_kind k join intendant.session s on s.id = k.session_id
         where k.queue = n.name and not s.leaving),
       q.rate_steps, q.rate_period_ms, q.rate_burst, q.partition_by, q.partition_limit, b.cap, b.room
  from (select name from intendant.queue union select queue from intendant.kind union select queue from intendant.session_kind) n
  left join intendant.queue q on q.name = n.name
  left join intendant.backlog b on b.queue = n.name
 order by n.name
