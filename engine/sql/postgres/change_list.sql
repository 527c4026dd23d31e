-- What people did to something that is no intent, the latest first. Index change_of, backwards. 1 subject, 2 name, 3 how many.
select id, at, subject, name, verb, actor, reason from intendant.change
 where subject = $1::text and name = $2::text order by at desc, id desc limit $3::bigint
