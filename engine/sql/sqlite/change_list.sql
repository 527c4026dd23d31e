-- What people did to something that is no intent, the latest first. Index change_of, backwards. 1 subject, 2 name, 3 how many.
select id, at, subject, name, verb, actor, reason from intendant_change
 where subject = ?1 and name = ?2 order by at desc, id desc limit ?3
