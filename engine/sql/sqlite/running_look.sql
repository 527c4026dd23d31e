-- Housekeeping: steps that have been running for long and have no open alert for that, the longest first. By the leases, and
-- primary keys. 1 for how long at least (microseconds), 2 how many, 3 now.
select s.intent_id, i.kind, s.name, s.generation, ?3 - max(s.started_at, 0), coalesce(s.worker, '')
  from intendant_lease l, jsonb_each(l.tasks) t
  left join intendant_routed r on r.task_id = t.value
  join intendant_step s on s.intent_id = coalesce(r.intent_id, t.value)
   and case when r.task_id is null then s.queue is null else s.name = r.step and s.generation = r.generation end
  join intendant_intent i on i.id = s.intent_id
 where s.state = 'running' and s.started_at <= ?3 - ?1
   and not exists (select 1 from intendant_alert a
                    where a.kind = 'slow step' and a.resolved_at is null
                      and a.about = s.intent_id || '/' || s.name || '/' || s.generation)
 order by s.started_at limit ?2
