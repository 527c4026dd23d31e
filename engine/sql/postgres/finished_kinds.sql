-- Retention, subscriptions: the kinds of which anything has finished, at most 1 of them: one look into the index outcome_finished for each.
with recursive known (kind) as (
  select f.kind from (select o.kind from intendant.outcome o order by o.kind limit 1) f
  union all
  select (select o.kind from intendant.outcome o where o.kind > k.kind order by o.kind limit 1)
    from known k where k.kind is not null
)
select kind from known where kind is not null limit $1::bigint
