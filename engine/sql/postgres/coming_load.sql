-- Admit: of the latest intents on these resources, those that were asked for and are neither in nor in line: in *ready*, or
-- parked until their start time. resource_history, then primary keys. 1 resources, 2 how many of each are looked at.
select w.resource, x.intent_id, x.mode, i.position, i.kind, coalesce(i.account, '')
  from unnest($1::text[]) as w (resource)
  cross join lateral (
    select r.intent_id, r.mode from intendant.resource r
     where r.resource = w.resource order by r.intent_id desc limit $2::bigint) x
  join intendant.intent i on i.id = x.intent_id
 where x.mode <> 'touched'
   and (exists (select from intendant.ready r
                 where r.queue = i.queue and r.kind = i.kind and r.crashes = any ('{-1,0}'::smallint[]) and r.position = i.position
                   and r.intent_id = i.id)
     or exists (select from intendant.parked p where p.intent_id = i.id and p.reason = 'start time'))
   and not exists (select from intendant.holder h where h.resource = w.resource and h.intent_id = i.id)
   and not exists (select from intendant.line l
                    where l.resource = w.resource and l.position = i.position and l.intent_id = i.id)
 order by i.position, i.id
