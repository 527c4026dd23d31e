-- Request: the tasks of intents that may start at once. Now; then the rows.
with tick (now) as (values (?)),
n (intent_id, kind, queue, ahead_us, locks, start_at, start_in) as (values (?, ?, ?, ?, ?, ?, ?) /* more rows */)
insert into intendant_ready (queue, kind, position, intent_id, started, locks)
select n.queue, n.kind, tick.now - n.ahead_us, n.intent_id, 0, n.locks
  from n, tick
 where n.intent_id is not null and coalesce(n.start_at, tick.now + n.start_in, tick.now) <= tick.now
