-- Admit and finish: parents, their parents, and so on, the nearest first, and whether they hold anything.
-- Primary key, a row a level; holder_by_intent.
with recursive up (intent_id, ancestor_id, level) as (
  select id, parent_id, 1 from intendant.intent where id = any ($1::uuid[]) and parent_id is not null
  union all
  select up.intent_id, i.parent_id, up.level + 1 from up join intendant.intent i on i.id = up.ancestor_id
   where i.parent_id is not null
)
select intent_id, ancestor_id, exists (select 1 from intendant.holder h where h.intent_id = ancestor_id) from up
 order by level
