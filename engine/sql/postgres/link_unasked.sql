-- Supersede: who is to be asked to stop, and has not been; and whether the other one still waits for that. link_unasked. 1 how many.
select l.intent_id, l.other_id, i.kind, l.resource, l.anyway,
       not exists (select from intendant.outcome o where o.intent_id = l.other_id)
  from intendant.link l join intendant.intent i on i.id = l.other_id
 where l.relation = 'superseded by' and l.asked_at is null
 order by l.at, l.intent_id limit $1::bigint
