-- One intent's plan: the one that it finished or started by; of one that runs in its first lease, the one that its
-- session has for the kind. Primary keys, and the leases of the moment.
select p.shape
  from intendant_plan p
 where p.hash = coalesce(
         (select o.plan_hash from intendant_outcome o where o.intent_id = ?1),
         (select s.plan_hash from intendant_started s where s.intent_id = ?1),
         (select k.plan_hash
            from intendant_lease l
            join jsonb_each(l.tasks) t
            join intendant_intent i on i.id = ?1
            join intendant_session_kind k on k.session_id = l.session_id and k.kind = i.kind
           where t.value = ?1 limit 1))
