-- Finish: intents that succeeded. The primary key lets it happen once: a second time is an error, and the tick is written
-- again with `outcome_insert`. Now; then the rows.
with tick (now) as (values (?)),
n (intent_id, kind, account, requested_at, started_at, output, plan_hash) as (
  values (?, ?, ?, ?, ?, ?, ?) /* more rows */
)
insert or fail into intendant_outcome (intent_id, kind, account, state, requested_at, started_at, finished_at, output, plan_hash)
select n.intent_id, n.kind, n.account, 'succeeded', n.requested_at, max(n.started_at, n.requested_at),
       max(tick.now, n.started_at, n.requested_at), n.output, n.plan_hash
  from n, tick where n.intent_id is not null
