-- Queues, for people: all that anybody has named, what people have said of them, and how many live workers serve each. Walks
-- small tables.
select n.name, q.paused_at, q.paused_by, q.pause_reason, q.slots, q.lent,
       (select count(distinct k.session_id) from intendant_session_kind k join intendant_session s on s.id = k.session_id
         where k.queue = n.name and not s.leaving),
       q.rate_steps, q.rate_period_ms, q.rate_burst, q.partition_by, q.partition_limit, b.cap, b.room
  from (select name from intendant_queue union select queue from intendant_kind union select queue from intendant_session_kind) n
  left join intendant_queue q on q.name = n.name
  left join intendant_backlog b on b.queue = n.name
 order by n.name
