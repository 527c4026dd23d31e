-- One intent's plan: the one that it finished or started by; of one that runs in its first lease, the one that its
-- session has for the kind. Primary keys, and the leases of the moment.
select p.shape
  from intendant.plan p
 where p.hash = coalesce(
         (select o.plan_hash from intendant.outcome o where o.intent_id = $1::uuid),
         (select s.plan_hash from intendant.started s where s.intent_id = $1::uuid),
         (select k.plan_hash
            from intendant.lease l
            join intendant.intent i on i.id = $1::uuid
            join intendant.session_kind k on k.session_id = l.session_id and k.kind = i.kind
           where $1::uuid = any (l.tasks) limit 1))
