-- What people and rules did to one intent.
select seq::bigint, at, actor, verb, reason, detail from intendant.event where intent_id = $1::uuid order by seq
