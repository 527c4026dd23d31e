-- Housekeeping: deadlines that are over, the oldest first, and whether what they are about was done in time or is none any
-- more. Index deadline_due, primary keys. 1 how many, 2 now.
select d.intent_id, d.step, d.generation, d.due_at, i.kind,
       i.id is null
       or exists (select 1 from intendant_outcome o where o.intent_id = d.intent_id and o.state <> 'failed')
       or (d.step <> '' and exists (
             select 1 from intendant_step s
              where s.intent_id = d.intent_id and s.name = d.step
                and (s.generation > d.generation
                     or (s.generation = d.generation and s.state in ('succeeded', 'skipped', 'undone')))))
  from intendant_deadline d left join intendant_intent i on i.id = d.intent_id
 where d.due_at <= ?2
 order by d.due_at limit ?1
