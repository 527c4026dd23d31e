-- What a person did to something that is no intent (I9). 1 id, 2 subject, 3 name, 4 verb, 5 actor, 6 reason, 7 now.
insert into intendant_change (id, at, subject, name, verb, actor, reason) values (?1, ?7, ?2, ?3, ?4, ?5, ?6)
