-- What a person did to something that is no intent (I9). 1 id, 2 subject, 3 name, 4 verb, 5 actor, 6 reason.
insert into intendant.change (id, at, subject, name, verb, actor, reason)
values ($1::uuid, clock_timestamp(), $2::text, $3::text, $4::text, $5::text, $6::text)
