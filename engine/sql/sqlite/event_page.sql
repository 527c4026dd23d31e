-- History: events of one intent after one of them, in their order, which has no gaps; by the primary key. 1 intent, 2 after this
-- one, 3 how many.
select seq, at, actor, verb, reason, detail from intendant_event
 where intent_id = ?1 and seq > ?2 order by seq limit ?3
