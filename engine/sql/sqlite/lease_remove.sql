-- Park, hand back, block: these tasks leave their leases without an outcome (P1). 1 session; 2 lease, task.
update intendant_lease as l
   set tasks = (select json_group_array(t.value) from jsonb_each(l.tasks) t
                 where t.value not in (select n.value ->> 1 from jsonb_each(?2) n where n.value ->> 0 = l.id))
 where l.session_id = ?1 and l.id in (select n.value ->> 0 from jsonb_each(?2) n)
