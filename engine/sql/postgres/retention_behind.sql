-- Retention: the children of an intent behind one of them, at most 3 of them, sorted, and whether each has children.
-- Index intent_by_parent.
-- 1 intent, 2 child (null: from the first), 3 at most.
select i.id, exists (select from intendant.intent c where c.parent_id = i.id)
  from intendant.intent i where i.parent_id = $1::uuid and ($2::uuid is null or i.id > $2::uuid) order by i.id limit $3::bigint
