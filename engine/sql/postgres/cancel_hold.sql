-- Cancel: locks the tokens of these tasks, intents and routed steps, where they are at rest, *parked* before *ready*; a claim
-- or a promotion skips what is locked, and whoever took one before is waited for. Primary keys. 1 tasks.
with i as (
  select id, queue, kind, position from intendant.intent where id = any ($1::uuid[])
  union all
  select task_id, queue, kind, position from intendant.routed where task_id = any ($1::uuid[])
), p as (
  select p.intent_id, 'parked' as place, p.reason <> 'start time' as begun
    from intendant.parked p where p.intent_id = any ($1::uuid[]) order by p.intent_id for update
), b as (
  select b.intent_id, 'blocked' as place, exists (select from intendant.started s where s.intent_id = b.intent_id) as begun
    from intendant.blocked b where b.intent_id = any ($1::uuid[]) order by b.intent_id for update
), r as (
  select r.intent_id, 'ready' as place, r.started as begun
    from i join intendant.ready r on r.queue = i.queue and r.kind = i.kind
     and r.crashes = any ('{-1,0,1,2,3,4,5,6,7,8,9}'::smallint[]) and r.position = i.position and r.intent_id = i.id
   order by r.intent_id for update of r
)
select intent_id, place, begun from p
union all select intent_id, place, begun from b
union all select intent_id, place, begun from r
