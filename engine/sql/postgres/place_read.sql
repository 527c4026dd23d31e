-- Handles and verbs: where these intents are, by looking into the small tables; neither there nor finished means ready.
select i.id, i.parent_id,
       case when o.state is not null then o.state
            when exists (select from intendant.cancel c where c.intent_id = i.id) then 'undoing'
            when p.intent_id is not null then 'waiting'
            when b.intent_id is not null then 'blocked'
            when exists (select from intendant.lease l where i.id = any (l.tasks)) then 'running'
            else 'ready' end
  from intendant.intent i
  left join intendant.outcome o on o.intent_id = i.id
  left join intendant.parked p on p.intent_id = i.id
  left join intendant.blocked b on b.intent_id = i.id
 where i.id = any ($1::uuid[])
