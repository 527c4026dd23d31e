-- Amend: the input as it is from now on. Primary key. 1 intent, 2 input.
update intendant.intent set input = $2::text::json where id = $1::uuid
