-- Finish: in long lines the first of each mode whose kind goes side by side with nobody, if it is among the first 2 of them. Index
-- line_among, which SQLite would not choose by itself. 1 resource, among whom, 2 how many.
select l.resource, l.intent_id, l.mode, l.position, l.sharing, l.among, 0
  from jsonb_each(?1) n
  join (select 'shared' as mode union all select 'exclusive') m
  join intendant_line l on l.resource = n.value ->> 0
   and (l.position, l.intent_id) in (
         select f.position, f.intent_id from (
           select x.position, x.intent_id, x.sharing from intendant_line x indexed by intendant_line_among
            where x.resource = n.value ->> 0 and x.among = n.value ->> 1 and x.mode = m.mode
            order by x.position, x.intent_id limit ?2) f
          where not f.sharing limit 1)
