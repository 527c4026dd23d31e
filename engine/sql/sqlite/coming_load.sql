-- Admit: of the latest intents on these resources, those that were asked for and are neither in nor in line: in *ready*, or
-- parked until their start time. resource_history, then primary keys. 1 resources, 2 how many of each are looked at.
select w.value, r.intent_id, r.mode, i.position, i.kind, coalesce(i.account, '')
  from jsonb_each(?1) w
  join intendant_resource r on r.resource = w.value
  join intendant_intent i on i.id = r.intent_id
 where r.mode <> 'touched'
   and r.intent_id in (select x.intent_id from intendant_resource x
                        where x.resource = w.value order by x.intent_id desc limit ?2)
   and (exists (select 1 from intendant_ready t
                 where t.queue = i.queue and t.kind = i.kind and t.crashes in (-1, 0) and t.position = i.position
                   and t.intent_id = i.id)
     or exists (select 1 from intendant_parked p where p.intent_id = i.id and p.reason = 'start time'))
   and not exists (select 1 from intendant_holder h where h.resource = w.value and h.intent_id = i.id)
   and not exists (select 1 from intendant_line l
                    where l.resource = w.value and l.position = i.position and l.intent_id = i.id)
 order by i.position, i.id
