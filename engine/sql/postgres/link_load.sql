-- History: what rules have made of these intents on account of others, and of others on account of them. Primary key,
-- link_by_other.
select intent_id, relation, other_id, resource, at from intendant.link
 where intent_id = any ($1::uuid[]) or other_id = any ($1::uuid[])
 order by at, intent_id
