-- Find: how far back one look goes, among all intents. Primary key, backwards. 1 before this id, 2 rows.
select id from intendant.intent where id < $1::uuid order by id desc offset $2::bigint - 1 limit 1
