-- Undo of what succeeded: which intent takes this one back, if one has been asked for and not been given up. Primary key.
-- 1 intent.
select e.detail ->> 'by' from intendant_event e
 where e.intent_id = ?1 and e.verb = 'undo' and e.detail ->> 'by' is not null
   and not exists (select 1 from intendant_event d
                    where d.intent_id = e.detail ->> 'by' and d.verb = 'discard')
 order by e.seq desc limit 1
