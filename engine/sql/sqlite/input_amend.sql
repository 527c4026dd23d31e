-- Amend: the input as it is from now on. Primary key. 1 intent, 2 input.
update intendant_intent set input = ?2 where id = ?1
