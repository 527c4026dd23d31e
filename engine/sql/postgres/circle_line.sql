-- Circle: the first in the lines for these resources. Primary key. 1 resources, 2 how many of each.
select x.intent_id, w.resource, x.mode, x.position from unnest($1::text[]) as w (resource)
 cross join lateral (
   select l.intent_id, l.mode, l.position from intendant.line l
    where l.resource = w.resource order by l.position, l.intent_id limit $2::bigint) x
