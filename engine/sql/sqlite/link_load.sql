-- History: what rules have made of these intents on account of others, and of others on account of them. Primary key,
-- link_by_other.
select intent_id, relation, other_id, resource, at from intendant_link
 where intent_id in (select n.value from jsonb_each(?1) n) or other_id in (select n.value from jsonb_each(?1) n)
 order by at, intent_id
