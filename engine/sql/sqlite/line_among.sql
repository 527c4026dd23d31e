-- Admit and finish: the first of those who wait among some, of each mode, in long lines. Index line_among.
-- 1 resource, among whom, 2 how many.
select l.resource, l.intent_id, l.mode, l.position, l.sharing, l.among, 0
  from jsonb_each(?1) n
  join (select 'shared' as mode union all select 'exclusive') m
  join intendant_line l on l.resource = n.value ->> 0
   and (l.position, l.intent_id) in (
         select x.position, x.intent_id from intendant_line x
          where x.resource = n.value ->> 0 and x.among = n.value ->> 1 and x.mode = m.mode
          order by x.position, x.intent_id limit ?2)
