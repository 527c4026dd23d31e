-- Finish: the primary key lets it happen once; returns those for which it did now. Now; then the rows.
with tick (now) as (values (?)),
n (intent_id, kind, account, state, requested_at, started_at, output, reason, error, step, plan_hash) as (
  values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) /* more rows */
)
insert into intendant_outcome (intent_id, kind, account, state, requested_at, started_at, finished_at, output, reason,
                               error, step, plan_hash)
select n.intent_id, n.kind, n.account, n.state, n.requested_at, max(n.started_at, n.requested_at),
       max(tick.now, n.started_at, n.requested_at), n.output, n.reason, n.error, n.step, n.plan_hash
  from n, tick where n.intent_id is not null
on conflict (intent_id) do nothing
returning intent_id
