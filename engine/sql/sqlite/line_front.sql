-- Admit and finish: the first in the lines for these resources, and the places of these intents. Primary key;
-- line_by_intent. 1 resources, 2 how many of each, 3 intents.
select l.resource, l.intent_id, l.mode, l.position, l.sharing, l.among, 0
  from jsonb_each(?1) n
  join intendant_line l on l.resource = n.value
   and (l.position, l.intent_id) in (
         select x.position, x.intent_id from intendant_line x
          where x.resource = n.value order by x.position, x.intent_id limit ?2)
 union all
select resource, intent_id, mode, position, sharing, among, 1
  from intendant_line where intent_id in (select n.value from jsonb_each(?3) n)
