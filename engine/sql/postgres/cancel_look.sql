-- Cancel: these intents and their unfinished descendants, where each of them is, and what stands against it. Primary keys,
-- the index intent_by_parent, and the leases of the moment. Locks nothing. 1 intents.
with recursive family (id, asked_id) as (
  select n.id, n.id from unnest($1::uuid[]) as n (id)
  union all
  select i.id, f.asked_id
    from family f join intendant.intent i on i.parent_id = f.id
   where not exists (select from intendant.outcome o where o.intent_id in (f.id, i.id))
)
select f.asked_id, i.id, i.parent_id, o.state, l.session_id, p.reason, b.intent_id is not null, r.started,
       exists (select from intendant.started s where s.intent_id = i.id),
       exists (select from intendant.cancel c where c.intent_id = i.id and c.goal is null),
       (select s.name from intendant.step s where s.intent_id = i.id and s.point_of_no_return
         order by s.started_at, s.name limit 1),
       i.locks
  from family f
  join intendant.intent i on i.id = f.id
  left join intendant.outcome o on o.intent_id = i.id
  left join intendant.parked p on p.intent_id = i.id
  left join intendant.blocked b on b.intent_id = i.id
  left join lateral (
    select r.started from intendant.ready r
     where r.queue = i.queue and r.kind = i.kind and r.crashes = any ('{-1,0,1,2,3,4,5,6,7,8,9}'::smallint[])
       and r.position = i.position and r.intent_id = i.id limit 1
  ) r on true
  left join lateral (
    select l.session_id from intendant.lease l where i.id = any (l.tasks) and o.intent_id is null limit 1
  ) l on true
