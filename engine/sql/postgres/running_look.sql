-- Housekeeping: steps that have been running for long and have no open alert for that, the longest first. By the leases, and
-- primary keys. 1 for how long at least (microseconds), 2 how many.
select s.intent_id, i.kind, s.name, s.generation::bigint,
       (extract(epoch from clock_timestamp() - s.started_at) * 1000000)::bigint, coalesce(s.worker, '')
  from intendant.lease l
  cross join lateral unnest(l.tasks) as t (id)
  left join intendant.routed r on r.task_id = t.id
  join intendant.step s on s.intent_id = coalesce(r.intent_id, t.id)
   and case when r.task_id is null then s.queue is null else s.name = r.step and s.generation = r.generation end
  join intendant.intent i on i.id = s.intent_id
 where s.state = 'running' and s.started_at <= clock_timestamp() - $1::bigint * interval '1 microsecond'
   and not exists (select from intendant.alert a
                    where a.kind = 'slow step' and a.resolved_at is null
                      and a.about = s.intent_id || '/' || s.name || '/' || s.generation)
 order by s.started_at limit $2::bigint
