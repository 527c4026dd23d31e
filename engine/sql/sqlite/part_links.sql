-- History: what rules have made of one intent on account of others, and of others on account of it, after one of these. Primary
-- key, link_by_other, and a sort of what they find. 1 intent, 2 intent, 3 relation, 4 other, 5 how many.
select intent_id, relation, other_id, resource, at from intendant_link
 where (intent_id = ?1 or other_id = ?1)
   and (intent_id, relation, other_id) > (?2, ?3, ?4)
 order by intent_id, relation, other_id limit ?5
