-- Finish: in long lines the first of each mode whose kind goes side by side with nobody, if it is among the first 3 of them. Index
-- line_among. 1–2 resource, among whom, 3 how many.
select x.resource, x.intent_id, x.mode, x.position, x.sharing, x.among, false
  from unnest($1::text[], $2::text[]) as n (resource, among)
 cross join (values ('shared'), ('exclusive')) as m (mode)
 cross join lateral (
   with first as materialized (
     select l.resource, l.intent_id, l.mode, l.position, l.sharing, l.among from intendant.line l
      where l.resource = n.resource and l.among = n.among and l.mode = m.mode
      order by l.position, l.intent_id limit $3::bigint)
   select f.* from first f where not f.sharing order by f.position, f.intent_id limit 1) x
