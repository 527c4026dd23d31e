-- Breaches of the invariants, each with an intent's id; none may ever come back. Proportional to history: for tests.
with task (id, place) as (
  select intent_id, 'ready' from intendant.ready
  union all select intent_id, 'parked' from intendant.parked
  union all select intent_id, 'blocked' from intendant.blocked
  union all select t.id, 'lease' from intendant.lease l cross join lateral unnest(l.tasks) as t (id)
             where not exists (select from intendant.outcome o where o.intent_id = t.id)
)
select 'I1: a task has two tokens', id from task group by id having count(*) > 1
union all
select 'I1: an unfinished intent has no token', i.id from intendant.intent i
 where not exists (select from task where task.id = i.id)
   and not exists (select from intendant.outcome o where o.intent_id = i.id)
union all
select 'I1: a token is of no task', task.id from task
 where not exists (select from intendant.intent i where i.id = task.id)
   and not exists (select from intendant.routed r where r.task_id = task.id)
union all
select 'I1: a routed step has no token', r.intent_id from intendant.routed r
 where not exists (select from task where task.id = r.task_id)
union all
select 'I1: a routed step stands in a wrong lane', r.intent_id from intendant.routed r
  join intendant.ready t on t.intent_id = r.task_id
 where t.queue <> r.queue or t.kind <> r.kind or t.position <> r.position
union all
select 'I1: a lease has no session', l.id from intendant.lease l
 where not exists (select from intendant.session s where s.id = l.session_id)
union all
select 'I2: a finished intent has a task', o.intent_id from intendant.outcome o join task on task.id = o.intent_id
union all
select 'I2: a finished intent holds a lock', h.intent_id from intendant.holder h
  join intendant.outcome o on o.intent_id = h.intent_id where o.state <> 'failed'
union all
select 'I2: a finished intent has an unfinished child', c.parent_id from intendant.child c
  join intendant.outcome o on o.intent_id = c.parent_id
 where not exists (select from intendant.outcome f where f.intent_id = c.child_id)
union all
select 'I2: a cancelled intent is still asked to stop', c.intent_id from intendant.cancel c
  join intendant.outcome o on o.intent_id = c.intent_id where o.state <> 'failed'
union all
select 'I2: a cancelled intent has a step that runs or waits', o.intent_id from intendant.outcome o
  join intendant.step s on s.intent_id = o.intent_id where o.state = 'cancelled' and s.state in ('running', 'waiting')
union all
select 'I2: a cancelled intent waits for a time or a message', o.intent_id from intendant.outcome o
  join intendant.awaited a on a.intent_id = o.intent_id where o.state = 'cancelled' and a.signal_id is null
union all
select 'I3: a cancel is asked for of no intent', c.intent_id from intendant.cancel_request c
 where not exists (select from intendant.intent i where i.id = c.intent_id)
union all
select 'I9: a cancel or an undo has no event', i.id from intendant.intent i
 where (exists (select from intendant.cancel c where c.intent_id = i.id)
        or exists (select from intendant.outcome o
                    where o.intent_id = i.id and o.state = 'cancelled' and o.error like 'cancelled by %'))
   and not exists (select from intendant.event e where e.intent_id = i.id and e.verb in ('cancel', 'undo', 'rerun', 'resume'))
union all
select 'I2: a finished intent has a step under way in another queue', r.intent_id from intendant.routed r
  join intendant.outcome o on o.intent_id = r.intent_id
union all
select 'I2: a step waits in another queue though its intent is to stop', r.intent_id from intendant.routed r
  join intendant.cancel c on c.intent_id = r.intent_id join task on task.id = r.task_id
 where task.place <> 'lease' and r.step not like 'undo(%'
union all
select 'I3: a task is parked for what has all come', p.intent_id from intendant.parked p
 where p.reason = 'child'
   and not exists (
       select from intendant.child c where c.parent_id = p.intent_id
          and not exists (select from intendant.outcome o where o.intent_id = c.child_id))
   and not exists (select from intendant.routed r where r.intent_id = p.intent_id)
   and not exists (
       select from intendant.step s where s.intent_id = p.intent_id and s.state = 'waiting' and s.waits is not null)
union all
select 'I3: a step waits by a name that is nowhere', s.intent_id from intendant.step s
 where s.state = 'waiting' and s.waits is not null
   and not exists (
       select from intendant.awaited a where a.intent_id = s.intent_id and a.step = s.name and a.generation = s.generation)
   and not exists (
       select from intendant.step n where n.intent_id = s.intent_id and n.name = s.name and n.generation > s.generation)
union all
select 'I3: a task is parked for a message that is there', a.intent_id from intendant.awaited a
  join intendant.parked p on p.intent_id = a.intent_id
  join intendant.step s on s.intent_id = a.intent_id and s.name = a.step and s.generation = a.generation
 where a.sort = 'signal' and a.signal_id is null and a.due_at is null and s.state = 'waiting' and s.waits is not null
   and exists (
       select from intendant.signal m where m.intent_id = a.intent_id and m.name = a.name and m.counted
          and m.refused is null and not exists (select from intendant.awaited b where b.signal_id = m.id))
union all
select 'I3: a task is parked though it has enough', w.intent_id from intendant.wait w
  join intendant.parked p on p.intent_id = w.intent_id
 where p.reason = 'child' and w.arrived >= w.wake_at
union all
select 'I3: a routed step has no row that says so', r.intent_id from intendant.routed r
 where not exists (
       select from intendant.step s where s.intent_id = r.intent_id and s.name = r.step and s.generation = r.generation
          and s.queue = r.queue)
union all
select 'I3: a task is blocked and stands in no line', b.intent_id from intendant.blocked b
 where not exists (select from intendant.line l where l.intent_id = b.intent_id)
union all
select 'I3: a task is blocked by nobody', b.intent_id from intendant.blocked b
 where not exists (
       select from intendant.line l join intendant.holder h on h.resource = l.resource and h.intent_id <> l.intent_id
        where l.intent_id = b.intent_id and (l.mode = 'exclusive' or h.mode = 'exclusive')
   and not exists (
       with recursive up (id) as (
         select i.parent_id from intendant.intent i where i.id = b.intent_id
         union all
         select i.parent_id from up join intendant.intent i on i.id = up.id)
       select from up where up.id = h.intent_id))
   and not exists (
       select from intendant.line l join intendant.line e on e.resource = l.resource
               and (e.position, e.intent_id) < (l.position, l.intent_id)
        where l.intent_id = b.intent_id and (l.mode = 'exclusive' or e.mode = 'exclusive'))
union all
select 'I4: two intents that exclude each other hold one resource', a.intent_id
  from intendant.holder a join intendant.holder b on b.resource = a.resource and b.intent_id <> a.intent_id
 where a.mode = 'exclusive' and not a.beside and not b.beside
   and (not b.covered or not exists (
       with recursive up (id) as (
         select i.parent_id from intendant.intent i where i.id = b.intent_id
         union all
         select i.parent_id from up join intendant.intent i on i.id = up.id)
       select from up where up.id = a.intent_id))
   and (not a.covered or not exists (
       with recursive up (id) as (
         select i.parent_id from intendant.intent i where i.id = a.intent_id
         union all
         select i.parent_id from up join intendant.intent i on i.id = up.id)
       select from up where up.id = b.intent_id))
union all
select 'I7: the times are out of order', o.intent_id from intendant.outcome o
  join intendant.intent i on i.id = o.intent_id
 where o.requested_at <> i.requested_at or o.started_at < i.requested_at or o.finished_at < o.started_at
    or o.finished_at < i.requested_at
union all
select 'I10: the account has changed', o.intent_id from intendant.outcome o
  join intendant.intent i on i.id = o.intent_id where o.account is distinct from i.account
union all
select 'I11: a deadline has no intent', d.intent_id from intendant.deadline d
 where not exists (select from intendant.intent i where i.id = d.intent_id)
union all
select 'I11: an alert is resolved before it was raised', a.id from intendant.alert a where a.resolved_at < a.raised_at
union all
select 'I5: a step has a result and a checkpoint', c.intent_id from intendant.checkpoint c
  join intendant.step s on s.intent_id = c.intent_id and s.name = c.step and s.generation >= c.generation
 where s.generation > c.generation or s.state in ('succeeded', 'skipped', 'undone')
union all
select 'I5: a checkpoint of a step that has not begun', c.intent_id from intendant.checkpoint c
 where not exists (select from intendant.step s where s.intent_id = c.intent_id and s.name = c.step and s.generation = c.generation)
union all
select 'I8: an attempt has logged or measured before it began', n.intent_id
  from (select intent_id, step, generation, attempt from intendant.log
        union select intent_id, step, generation, attempt from intendant.measure) n
 where not exists (select from intendant.attempt a
        where a.intent_id = n.intent_id and a.step = n.step and a.generation = n.generation and a.attempt >= n.attempt)
   and not exists (select from intendant.step s
        where s.intent_id = n.intent_id and s.name = n.step and s.generation = n.generation and s.attempt >= n.attempt)
union all
select 'I12: one intent is of two ticks', t.intent_id from intendant.schedule_tick t where t.state = 'requested'
 group by t.intent_id having count(*) > 1
union all
select 'I12: a tick is decided that is not due yet', coalesce(t.intent_id, '00000000-0000-0000-0000-000000000000'::uuid)
  from intendant.schedule_tick t join intendant.schedule s on s.name = t.schedule where t.sort = 'due' and t.at > s.last_at
union all
select 'I12: a tick has requested an intent that is of something else', t.intent_id from intendant.schedule_tick t
  join intendant.intent i on i.id = t.intent_id
 where t.state = 'requested' and not exists (
       select from intendant.resource r where r.intent_id = i.id and r.resource = 'schedule:' || t.schedule)
union all
select 'I9: a pause has no change', '00000000-0000-0000-0000-000000000000'::uuid from intendant.schedule s
 where s.paused_at is not null and not exists (
       select from intendant.change c where c.subject = 'schedule' and c.name = s.name and c.verb = 'pause')
union all
select 'I9: a pause of a queue has no change', '00000000-0000-0000-0000-000000000000'::uuid from intendant.queue q
 where q.paused_at is not null and not exists (
       select from intendant.change c where c.subject = 'queue' and c.name = q.name and c.verb = 'pause')
union all
select 'I13: the slots that a queue has lent are not those that sessions have', '00000000-0000-0000-0000-000000000000'::uuid from intendant.queue q
 where q.lent <> (select coalesce(sum(s.held), 0) from intendant.slot s where s.queue = q.name)
union all
select 'I13: a session has slots of a queue without a limit', s.session_id from intendant.slot s
 where not exists (select from intendant.queue q where q.name = s.queue and q.slots is not null)
union all
select 'I14: the tasks of a partition that are in hand are not those that are counted', '00000000-0000-0000-0000-000000000000'::uuid from intendant.partition p
 where p.lent = 0 or p.lent <> (select count(*) from intendant.partition_task t where t.queue = p.queue and t.partition = p.name)
union all
select 'I14: a task is counted in no partition', t.task_id from intendant.partition_task t
 where not exists (select from intendant.partition p where p.queue = t.queue and p.name = t.partition)
union all
select 'I14: a task is counted that is in nobody''s hands', t.task_id from intendant.partition_task t
 where not exists (select from task where task.id = t.task_id and task.place = 'lease')
