-- Circle: the first in the lines for these resources. Primary key. 1 resources, 2 how many of each.
select l.intent_id, l.resource, l.mode, l.position from jsonb_each(?1) n
  join intendant_line l on l.resource = n.value
   and (l.position, l.intent_id) in (
         select x.position, x.intent_id from intendant_line x
          where x.resource = n.value order by x.position, x.intent_id limit ?2)
