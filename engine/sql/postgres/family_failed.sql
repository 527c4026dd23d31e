-- Discard: these and their descendants, those that have failed. Primary keys and the index intent_by_parent. 1 intents.
with recursive family (id) as (
  select n.id from unnest($1::uuid[]) as n (id)
  union
  select i.id from family f join intendant.intent i on i.parent_id = f.id
)
select f.id from family f join intendant.outcome o on o.intent_id = f.id where o.state = 'failed'
