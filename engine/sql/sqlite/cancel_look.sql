-- Cancel: these intents and their unfinished descendants, where each of them is, and what stands against it. Primary keys,
-- the index intent_by_parent, and the leases of the moment. 1 intents.
with recursive family (id, asked_id) as (
  select n.value, n.value from jsonb_each(?1) n
  union all
  select i.id, f.asked_id
    from family f join intendant_intent i on i.parent_id = f.id
   where not exists (select 1 from intendant_outcome o where o.intent_id in (f.id, i.id))
), held (id, session_id) as materialized (
  select t.value, l.session_id from intendant_lease l, jsonb_each(l.tasks) t
)
select f.asked_id, i.id, i.parent_id, o.state, l.session_id, p.reason, b.intent_id is not null,
       (select r.started from intendant_ready r
         where r.queue = i.queue and r.kind = i.kind and r.crashes in (-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
           and r.position = i.position and r.intent_id = i.id),
       exists (select 1 from intendant_started s where s.intent_id = i.id),
       exists (select 1 from intendant_cancel c where c.intent_id = i.id and c.goal is null),
       (select s.name from intendant_step s where s.intent_id = i.id and s.point_of_no_return
         order by s.started_at, s.name limit 1),
       i.locks
  from family f
  join intendant_intent i on i.id = f.id
  left join intendant_outcome o on o.intent_id = i.id
  left join intendant_parked p on p.intent_id = i.id
  left join intendant_blocked b on b.intent_id = i.id
  left join held l on l.id = i.id and o.intent_id is null
