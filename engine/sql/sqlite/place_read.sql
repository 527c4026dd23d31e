-- Handles and verbs: where these intents are, by looking into the small tables; neither there nor finished means ready.
select i.id, i.parent_id,
       case when o.state is not null then o.state
            when exists (select 1 from intendant_cancel c where c.intent_id = i.id) then 'undoing'
            when p.intent_id is not null then 'waiting'
            when b.intent_id is not null then 'blocked'
            when exists (select 1 from intendant_lease l, jsonb_each(l.tasks) t where t.value = i.id) then 'running'
            else 'ready' end
  from intendant_intent i
  left join intendant_outcome o on o.intent_id = i.id
  left join intendant_parked p on p.intent_id = i.id
  left join intendant_blocked b on b.intent_id = i.id
 where i.id in (select n.value from jsonb_each(?1) n)
