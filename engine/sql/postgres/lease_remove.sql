-- Park, hand back, block: these tasks leave their leases without an outcome (P1). 1 session, 2–3 lease, task.
update intendant.lease l
   set tasks = array(select t.id from unnest(l.tasks) as t (id) where t.id <> all (n.gone))
  from (select g.lease_id, array_agg(g.task) as gone
          from unnest($2::uuid[], $3::uuid[]) as g (lease_id, task) group by g.lease_id) n
 where l.id = n.lease_id and l.session_id = $1::uuid
