-- Tick: results of steps that have no row yet, which are nearly all; the primary key lets it happen once (I6). Times are
-- given as microseconds ago. Worker, now; then the rows.
with tick (worker, now) as (values (?, ?)),
n (intent_id, name, generation, attempt, output, started_ago, finished_ago) as (
  values (?, ?, ?, ?, ?, ?, ?) /* more rows */
)
insert or fail into intendant_step (intent_id, name, generation, state, attempt, output, started_at, finished_at, worker)
select n.intent_id, n.name, n.generation, 'succeeded', n.attempt, n.output, tick.now - n.started_ago,
       tick.now - n.finished_ago, tick.worker
  from n, tick where n.intent_id is not null
