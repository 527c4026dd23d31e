-- Undo of what succeeded: which intent takes this one back, if one has been asked for and not been given up. Primary key.
-- 1 intent.
select (e.detail ->> 'by')::uuid from intendant.event e
 where e.intent_id = $1::uuid and e.verb = 'undo' and e.detail ->> 'by' is not null
   and not exists (select from intendant.event d
                    where d.intent_id = (e.detail ->> 'by')::uuid and d.verb = 'discard')
 order by e.seq desc limit 1
