-- Housekeeping: the lanes that have tasks in *ready*, each with how many (up to a bound), how long the oldest that was never
-- let in, or, of a step of another queue, begun, has been ready (microseconds), and whether a live session serves its queue, and its kind. The primary key, from one
-- lane to the next; of each lane the first hundred, and of what is filed. 1 how far to count, 2 how many lanes.
with recursive lane (queue, kind) as (
  (select queue, kind from intendant.ready order by queue, kind limit 1)
  union all
  select n.queue, n.kind
    from lane l
    cross join lateral (
      select r.queue, r.kind from intendant.ready r where (r.queue, r.kind) > (l.queue, l.kind)
       order by r.queue, r.kind limit 1
    ) n
)
select l.queue, l.kind,
       (select count(*) from (select from intendant.ready r
                               where r.queue = l.queue and r.kind = l.kind limit $1::bigint) r),
       (select (extract(epoch from clock_timestamp() - min(coalesce(d.sent_at, greatest(i.requested_at, i.run_at))))
                * 1000000)::bigint
          from (values (0), (-1)) as filed (crashes)
          cross join lateral (
            select r.intent_id, r.started, r.routed from intendant.ready r
             where r.queue = l.queue and r.kind = l.kind and r.crashes = filed.crashes
             order by r.position, r.intent_id limit 100) r
          left join intendant.intent i on i.id = r.intent_id
          left join intendant.routed d on r.routed and d.task_id = r.intent_id
         where case when r.routed
                 then exists (select from intendant.step s
                               where s.intent_id = d.intent_id and s.name = d.step and s.generation = d.generation
                                 and s.begun_at is null)
                 else not r.started and not exists (select from intendant.line e where e.intent_id = r.intent_id)
               end),
       exists (select from intendant.session_kind k join intendant.session s on s.id = k.session_id
                where k.queue = l.queue and not s.leaving),
       exists (select from intendant.session_kind k join intendant.session s on s.id = k.session_id
                where k.queue = l.queue and k.kind = l.kind and not s.leaving)
  from (select queue, kind from lane limit $2::bigint) l
