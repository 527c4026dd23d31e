-- Housekeeping: deadlines that are over, the oldest first, and whether what they are about was done in time or is none any
-- more. Index deadline_due, primary keys. 1 how many.
select d.intent_id, d.step, d.generation::bigint, d.due_at, i.kind,
       i.id is null
       or exists (select from intendant.outcome o where o.intent_id = d.intent_id and o.state <> 'failed')
       or (d.step <> '' and exists (
             select from intendant.step s
              where s.intent_id = d.intent_id and s.name = d.step
                and (s.generation > d.generation
                     or (s.generation = d.generation and s.state in ('succeeded', 'skipped', 'undone')))))
  from intendant.deadline d left join intendant.intent i on i.id = d.intent_id
 where d.due_at <= clock_timestamp()
 order by d.due_at limit $1::bigint
