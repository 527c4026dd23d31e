-- Admit and finish: the first in the lines for these resources, and the places of these intents. Primary key;
-- line_by_intent. 1 resources, 2 how many of each, 3 intents.
select x.resource, x.intent_id, x.mode, x.position, x.sharing, x.among, false
  from unnest($1::text[]) as n (resource)
 cross join lateral (
   select l.resource, l.intent_id, l.mode, l.position, l.sharing, l.among from intendant.line l
    where l.resource = n.resource order by l.position, l.intent_id limit $2::bigint) x
 union all
select resource, intent_id, mode, position, sharing, among, true from intendant.line where intent_id = any ($3::uuid[])
