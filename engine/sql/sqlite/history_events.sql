-- What people and rules did to one intent.
select seq, at, actor, verb, reason, detail from intendant_event where intent_id = ?1 order by seq
