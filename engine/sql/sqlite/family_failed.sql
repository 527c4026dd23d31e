-- Discard: these and their descendants, those that have failed. Primary keys and the index intent_by_parent. 1 intents.
with recursive family (id) as (
  select n.value from jsonb_each(?1) n
  union
  select i.id from family f join intendant_intent i on i.parent_id = f.id
)
select f.id from family f join intendant_outcome o on o.intent_id = f.id where o.state = 'failed'
