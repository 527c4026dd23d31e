-- Find: how far back one look goes, among all intents. Primary key, backwards. 1 before this id, 2 rows.
select id from intendant_intent where id < ?1 order by id desc limit 1 offset ?2 - 1
