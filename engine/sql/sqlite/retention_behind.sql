-- Retention: the children of an intent behind one of them, at most 3 of them, sorted, and whether each has children.
-- Index intendant_intent_by_parent.
-- 1 intent, 2 child (null: from the first), 3 at most.
select i.id, exists (select 1 from intendant_intent c where c.parent_id = i.id)
  from intendant_intent i where i.parent_id = ?1 and (?2 is null or i.id > ?2) order by i.id limit ?3
