-- Housekeeping: the lanes that have tasks in *ready*, each with how many (up to a bound), how long the oldest that was never
-- let in, or, of a step of another queue, begun, has been ready (microseconds), and whether a live session serves its queue, and its kind. The primary key, from one
-- lane to the next; of each lane the first hundred, and of what is filed. 1 how far to count, 2 how many lanes, 3 now.
with recursive lane (queue, kind) as (
  select * from (select queue, kind from intendant_ready order by queue, kind limit 1)
  union all
  select (select r.queue from intendant_ready r where (r.queue, r.kind) > (l.queue, l.kind)
           order by r.queue, r.kind limit 1),
         (select r.kind from intendant_ready r where (r.queue, r.kind) > (l.queue, l.kind)
           order by r.queue, r.kind limit 1)
    from lane l where l.queue is not null
)
select l.queue, l.kind,
       (select count(*) from (select 1 from intendant_ready r where r.queue = l.queue and r.kind = l.kind limit ?1)),
       (select ?3 - min(coalesce(d.sent_at, max(i.requested_at, coalesce(i.run_at, 0))))
          from (select * from (
                  select r.intent_id, r.started, r.routed from intendant_ready r
                   where r.queue = l.queue and r.kind = l.kind and r.crashes = 0
                   order by r.position, r.intent_id limit 100)
                union all
                select * from (
                  select r.intent_id, r.started, r.routed from intendant_ready r
                   where r.queue = l.queue and r.kind = l.kind and r.crashes = -1
                   order by r.position, r.intent_id limit 100)) r
          left join intendant_intent i on i.id = r.intent_id
          left join intendant_routed d on r.routed and d.task_id = r.intent_id
         where case when r.routed
                 then exists (select 1 from intendant_step s
                               where s.intent_id = d.intent_id and s.name = d.step and s.generation = d.generation
                                 and s.begun_at is null)
                 else not r.started and not exists (select 1 from intendant_line e where e.intent_id = r.intent_id)
               end),
       exists (select 1 from intendant_session_kind k join intendant_session s on s.id = k.session_id
                where k.queue = l.queue and not s.leaving),
       exists (select 1 from intendant_session_kind k join intendant_session s on s.id = k.session_id
                where k.queue = l.queue and k.kind = l.kind and not s.leaving)
  from lane l where l.queue is not null limit ?2
