-- Tick: what steps have to say that have a row already, or whose word is no result. A recorded result is never overwritten (I6). Times are given as microseconds ago.
-- Worker, now; then the rows.
with tick (worker, now) as (values (?, ?)),
n (intent_id, name, generation, state, attempt, output, error, progress, due_in, started_ago, finished_ago, final,
   queue, reason, spare, waits) as (
  values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) /* more rows */
)
insert into intendant_step as s (intent_id, name, generation, state, attempt, output, error, progress, due_at, started_at,
                                 finished_at, worker, point_of_no_return, queue, reason, spare, waits, begun_at)
select n.intent_id, n.name, n.generation, n.state, n.attempt, n.output, n.error, n.progress, tick.now + n.due_in,
       tick.now - n.started_ago, tick.now - n.finished_ago,
       case when n.queue is null then tick.worker end, nullif(n.final, 0), n.queue, n.reason,
       n.spare, n.waits,
       case when n.state <> 'pending' then tick.now - n.started_ago end
  from n, tick where n.intent_id is not null
on conflict (intent_id, name, generation) do update
   set state = excluded.state, attempt = excluded.attempt, output = excluded.output, error = excluded.error,
       progress = coalesce(excluded.progress, s.progress), due_at = excluded.due_at, started_at = excluded.started_at,
       finished_at = excluded.finished_at, worker = excluded.worker,
       point_of_no_return = coalesce(excluded.point_of_no_return, s.point_of_no_return),
       queue = coalesce(excluded.queue, s.queue), reason = excluded.reason,
       spare = excluded.spare, waits = excluded.waits, begun_at = coalesce(s.begun_at, excluded.begun_at)
 where s.state not in ('succeeded', 'skipped', 'undone')
